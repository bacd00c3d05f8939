/** Each adapter on its real framework: signed calls, large bodies, paths, parsers that came first, clients that leave. */

import { randomUUID } from "node:crypto";
import { createServer, type RequestListener, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { type ServerType, serve } from "@hono/node-server";
import express5 from "express";
import express4 from "express4";
import createFastify from "fastify";
import { Hono } from "hono";
import Koa from "koa";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { express } from "../src/express.ts";
import { fastify } from "../src/fastify.ts";
import { hono } from "../src/hono.ts";
import { Atomic, type Context, type Endpoints, endpoints } from "../src/index.ts";
import { koa } from "../src/koa.ts";
import { node } from "../src/node.ts";
import { ENVELOPE, SECRET, signatureOf } from "./signing.ts";

/** Where each application serves `/office`, whose calls are checked, and `/open`, and `/parsed` after a parser. */
interface Mounted {
  readonly office: Endpoints<Context>;
  readonly open: Endpoints<Context>;
}
type Closing = () => Promise<unknown>;
type Application = (mounted: Mounted) => Promise<[port: number, close: Closing]>;

// Calls come percent-encoded, as the server sends them.
const OFFICE = "/b%C3%BCro%20eins";

async function listening(listener: RequestListener): Promise<[number, Closing]> {
  return opened(createServer(listener));
}

async function opened(server: Server): Promise<[number, Closing]> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const close = async (): Promise<void> => {
    server.closeAllConnections();
    server.close();
  };
  return [(server.address() as AddressInfo).port, close];
}

/** What a parser of JSON does that comes first. */
async function parse(request: AsyncIterable<unknown> & { body?: unknown }): Promise<void> {
  let text = "";
  for await (const chunk of request) {
    text += chunk;
  }
  request.body = text === "" ? undefined : JSON.parse(text);
}

const onNode: Application = ({ office, open }) => {
  const [checked, unchecked] = [node(office), node(open)];
  return listening(async (request, response) => {
    if (request.url?.startsWith("/parsed")) {
      await parse(request);
    }
    await (request.url?.startsWith("/b") ? checked : unchecked)(request, response);
  });
};

function onExpress(create: typeof express5): Application {
  return ({ office, open }) => {
    const app = create();
    app.use(OFFICE, express(office));
    app.use("/open", express(open));
    app.use(create.json());
    app.use("/parsed", express(open));
    return listening(app);
  };
}

const onFastify: Application = async ({ office, open }) => {
  const app = createFastify();
  app.register(fastify(office), { prefix: "/büro eins" });
  app.register(fastify(open), { prefix: "/open" });
  app.post("/json", async ({ body }) => ({ body }));
  app.register(async (scope) => {
    scope.addHook("preHandler", async (request) => {
      request.body = JSON.parse(String(request.body));
    });
    await scope.register(fastify(open), { prefix: "/parsed" });
  });
  await app.listen({ port: 0, host: "127.0.0.1" });
  // Other routes keep their parsers.
  const answer = await app.inject({ method: "POST", url: "/json", payload: { kept: true } });
  expect(answer.json()).toEqual({ body: { kept: true } });
  return [(app.server.address() as AddressInfo).port, () => app.close()];
};

const onHono: Application = async ({ office, open }) => {
  const app = new Hono();
  app.all("/büro eins/*", hono(office));
  app.all("/open/*", hono(open));
  app.use("/parsed/*", async (context, next) => {
    await context.req.json();
    await next();
  });
  app.all("/parsed/*", hono(open));
  const server = await new Promise<ServerType>((resolve) => {
    const started = serve({ fetch: app.fetch, port: 0, hostname: "127.0.0.1" }, () => resolve(started));
  });
  return [(server.address() as AddressInfo).port, async () => server.close()];
};

const onKoa: Application = ({ office, open }) => {
  const app = new Koa();
  app.use(koa(office, `${OFFICE}/`));
  app.use(koa(open, "/open/"));
  app.use(async ({ req }, next) => {
    await parse(req);
    await next();
  });
  app.use(koa(open, "/parsed/"));
  return listening(app.callback());
};

describe.each<[string, Application, string]>([
  ["node", onNode, "before the parser"],
  ["express 5", onExpress(express5), "before app.use(express.json())"],
  ["express 4", onExpress(express4), "before app.use(express.json())"],
  ["fastify", onFastify, "register fastify(endpoints)"],
  ["hono", onHono, "as c.req.json()"],
  ["koa", onKoa, "before the parser"],
])("on %s", (name, application, cure) => {
  const office = endpoints({ secrets: [SECRET] });
  office.step("greet", ({ name: who }: { name: string }, call) => ({ length: who.length, url: call.url }));
  const open = endpoints({ atomic: { url: inject("atomicUrl"), clientId: "ts-adapters" }, secrets: [], waitMs: 1 });
  const double = open.step("double", (value: number) => 2 * value);
  const twice = open.workflow("twice", async (ctx, value: number) => ctx.step(double, await ctx.step(double, value)));

  let port = 0;
  let close: Closing;
  beforeAll(async () => {
    [port, close] = await application({ office, open });
  });
  afterAll(() => close());

  async function call(path: string, body: string, headers: Record<string, string> = {}): Promise<[number, string]> {
    const json = { "content-type": "application/json", ...headers };
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { method: "POST", body, headers: json });
    return [response.status, await response.text()];
  }

  function signed(length: number): Promise<[number, string]> {
    const body = JSON.stringify({ ...ENVELOPE, payload: { name: "ä".repeat(length) } });
    return call(`${OFFICE}/greet`, body, signatureOf(`https://app.example${OFFICE}/greet`, body));
  }

  it("takes signed calls, and no others", async () => {
    const url = `https://app.example${OFFICE}/greet`;
    expect(await signed(3)).toEqual([200, JSON.stringify({ length: 3, url })]);
    const body = JSON.stringify(ENVELOPE);
    const [status, said] = await call(`${OFFICE}/greet`, body);
    expect([status, said]).toEqual([401, expect.stringContaining("webhook-id is missing")]);
    const changed = signatureOf(url, body.replace("ada", "eve"));
    expect((await call(`${OFFICE}/greet`, body, changed))[0]).toBe(401);
  });

  it("takes the largest calls, and refuses what is larger than any", async () => {
    expect((await signed(1024 * 1024))[0]).toBe(200);
    if (name !== "hono") {
      expect((await signed(4.5 * 1024 * 1024))[0]).toBe(413);
    }
  });

  it("refuses what a parser has read, and says the cure", async () => {
    const [status, said] = await call("/parsed/double", JSON.stringify(ENVELOPE));
    expect([status, said]).toEqual([400, expect.stringContaining(cure)]);
  });

  it("answers what is no call", async () => {
    const answers = [
      await fetch(`http://127.0.0.1:${port}/open/double`),
      await fetch(`http://127.0.0.1:${port}/open/double`, { method: "POST" }),
      await fetch(`http://127.0.0.1:${port}/open/other`, { method: "POST", body: "{}" }),
      await fetch(`http://127.0.0.1:${port}/open/%E0%A4%A`, { method: "POST", body: "{}" }),
    ].map(({ status }) => status);
    // Routers answer a path that is no text themselves.
    expect(answers).toEqual([405, 400, 404, expect.toSatisfy((status) => status === 404 || status === 400)]);
  });

  it("outlives clients that leave in the middle of a call", async () => {
    for (const sent of ["", '{"runId": "run_']) {
      const socket = connect(port, "127.0.0.1");
      socket.write(
        `POST /open/double HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n${sent}`,
      );
      await new Promise((resolve) => setTimeout(resolve, 50));
      socket.destroy();
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect((await signed(1))[0]).toBe(200);
  });

  it("runs a workflow", async () => {
    const atomic = new Atomic({ url: inject("atomicUrl"), clientId: "ts-adapters" });
    const reference = twice.at(`http://127.0.0.1:${port}/open`);
    expect(await atomic.start(reference, 3, { key: randomUUID() })).toMatchObject({
      status: "succeeded",
      response: 12,
    });
  });
});
