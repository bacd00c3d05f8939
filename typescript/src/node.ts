/** Endpoints on Node's own `http`: `createServer(node(users))`. */

import type { IncomingMessage, ServerResponse } from "node:http";
import type { Endpoints } from "./endpoints.ts";

/** A request listener of `http.createServer`, and a handler of Express and Connect. */
export function node(endpoints: Endpoints): (request: IncomingMessage, response: ServerResponse) => Promise<void> {
  return async (request, response) => {
    const answer = await endpoints.fetch(await webRequest(request));
    response.writeHead(answer.status, Object.fromEntries(answer.headers));
    response.end(new Uint8Array(await answer.arrayBuffer()));
  };
}

async function webRequest(request: IncomingMessage): Promise<Request> {
  const headers = new Headers();
  for (let at = 0; at < request.rawHeaders.length; at += 2) {
    headers.append(request.rawHeaders[at] ?? "", request.rawHeaders[at + 1] ?? "");
  }
  // Express sets `originalUrl` where a router has cut the beginning of the path off.
  const { originalUrl, url = "/" } = request as IncomingMessage & { originalUrl?: string };
  const target = new URL(originalUrl ?? url, `http://${headers.get("host") ?? "localhost"}`);
  const method = request.method ?? "POST";
  if (method === "GET" || method === "HEAD") {
    return new Request(target, { method, headers });
  }
  const chunks: Uint8Array[] = [];
  for await (const chunk of request) {
    chunks.push(chunk as Uint8Array);
  }
  const web = new Request(target, { method, headers, body: Buffer.concat(chunks) });
  if (chunks.length === 0 && Number(headers.get("content-length")) > 0) {
    // A parser was here before: let the endpoint say so.
    await web.arrayBuffer();
  }
  return web;
}
