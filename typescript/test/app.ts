/** An application on a free port, for the tests of workflows. */

import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, inject } from "vitest";
import { Atomic, type Context, type Endpoints, endpoints } from "../src/index.ts";
import { node } from "../src/node.ts";

export interface Application {
  readonly app: Endpoints<Context>;
  readonly atomic: Atomic;
  /** Where the application is, with a folder. */
  readonly url: () => string;
  /** How often something has happened, this time included. */
  readonly counted: (name: string) => number;
  readonly count: (name: string) => number;
}

/** Serve endpoints during the tests of a file. `waitMs` is short, so that handlers are called again and again. */
export function application(clientId: string, waitMs = 1): Application {
  const connection = { url: inject("atomicUrl"), clientId };
  const app = endpoints({ atomic: connection, waitMs });
  const counts = new Map<string, number>();
  const server = createServer(node(app));
  beforeAll(() => new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve)));
  afterAll(async () => {
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
  });
  return {
    app,
    atomic: new Atomic(connection),
    url: () => `http://127.0.0.1:${(server.address() as AddressInfo).port}/shop`,
    counted: (name) => {
      counts.set(name, (counts.get(name) ?? 0) + 1);
      return counts.get(name) ?? 0;
    },
    count: (name) => counts.get(name) ?? 0,
  };
}
