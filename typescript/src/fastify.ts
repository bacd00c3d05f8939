/** Endpoints on Fastify: `app.register(fastify(users), { prefix: "/users" })`. */

import type { IncomingMessage } from "node:http";
import { webRequest } from "./node_request.ts";
import { BODY_MAX_BYTES, type Fetching, parsedBody } from "./web.ts";

interface FastifyRequest {
  readonly raw: IncomingMessage;
  readonly originalUrl: string;
  readonly body: unknown;
}
interface FastifyReply {
  code(status: number): { headers(fields: Record<string, string>): { send(body: Uint8Array): unknown } };
}
type Parser = (request: unknown, body: unknown) => Promise<unknown>;

/** What is used of the instance that Fastify gives to a plugin. */
export interface FastifyPlugin {
  removeAllContentTypeParsers(): void;
  addContentTypeParser(types: string, options: { parseAs: "buffer"; bodyLimit: number }, parser: Parser): unknown;
  all(path: string, handler: (request: FastifyRequest, reply: FastifyReply) => Promise<unknown>): unknown;
}

/** A plugin. Its content-type parser hands on the bytes as they came; it is seen by these routes alone. */
export function fastify(endpoints: Fetching): (instance: FastifyPlugin) => Promise<void> {
  return async (instance) => {
    const asBytes = { parseAs: "buffer", bodyLimit: BODY_MAX_BYTES } as const;
    instance.removeAllContentTypeParsers();
    instance.addContentTypeParser("*", asBytes, async (_, body) => body);
    instance.all("/*", async ({ raw, originalUrl, body }, reply) => {
      const isParsed = body !== undefined && body !== null && !(body instanceof Uint8Array);
      const answer = isParsed
        ? parsedBody("register fastify(endpoints) without a hook that changes the body, and not by fastify-plugin")
        : await endpoints.fetch(webRequest(raw, originalUrl, body ?? undefined));
      const bytes = Buffer.from(await answer.arrayBuffer());
      return reply.code(answer.status).headers(Object.fromEntries(answer.headers)).send(bytes);
    });
  };
}
