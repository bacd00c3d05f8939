/** Endpoints on a port of this machine, for the tests of one file. */

import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, inject } from "vitest";
import { Atomic, type ConnectionOptions, type Context, type Endpoints, endpoints } from "../src/index.ts";
import { node } from "../src/node.ts";

/** Endpoints whose handlers are called again for each step, a client, and how often something was called. */
export interface Served {
  readonly app: Endpoints<Context>;
  readonly atomic: Atomic;
  readonly connection: { readonly url: string; readonly clientId: string };
  /** What the endpoints noted, in order. */
  readonly notes: Map<string, string[]>;
  /** Note something of a run, or of another key. */
  note(key: string, what: string): void;
  /** Where the endpoints are; known when the tests run. */
  url(): string;
}

/** Serve endpoints while the tests of this file run. `own` are options of the connection of workflows. */
export function served(clientId: string, own: ConnectionOptions = {}): Served {
  const connection = { url: inject("atomicUrl"), clientId };
  const app = endpoints({ atomic: { ...connection, ...own }, waitMs: 1 });
  const notes = new Map<string, string[]>();
  let server: Server;

  beforeAll(async () => {
    server = createServer(node(app));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  });

  afterAll(async () => {
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
  });

  return {
    app,
    atomic: new Atomic(connection),
    connection,
    notes,
    note: (key, what) => {
      notes.set(key, [...(notes.get(key) ?? []), what]);
    },
    url: () => `http://127.0.0.1:${(server.address() as AddressInfo).port}/app`,
  };
}

/** Ask until something is there. */
export async function until<Found>(ask: () => Promise<Found | undefined> | Found | undefined): Promise<Found> {
  for (let tries = 0; tries < 200; tries++) {
    const found = await ask();
    if (found !== undefined) {
      return found;
    }
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error("it did not come about in 5 s");
}
