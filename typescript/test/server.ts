/** A development server of Atomic for the tests: the one of this repository, or that of `ATOMIC_URL`. */

import { fileURLToPath } from "node:url";
import type { TestProject } from "vitest/node";
import { startDevServer } from "../src/testing.ts";

declare module "vitest" {
  interface ProvidedContext {
    atomicUrl: string;
    atomicCommand: string;
  }
}

const COMMAND = process.env.ATOMIC_COMMAND ?? fileURLToPath(new URL("../../.venv/bin/atomic", import.meta.url));

/** Start it before all tests; the function that is returned ends it. */
export default async function serve(project: TestProject): Promise<() => Promise<void>> {
  const server = await startDevServer({ command: COMMAND });
  project.provide("atomicUrl", server.url);
  project.provide("atomicCommand", COMMAND);
  return () => server.close();
}
