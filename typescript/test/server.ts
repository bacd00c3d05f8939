/** A development server of Atomic for the tests: the one of this repository, or that of `ATOMIC_URL`. */

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { TestProject } from "vitest/node";

declare module "vitest" {
  interface ProvidedContext {
    atomicUrl: string;
  }
}

const COMMAND = process.env.ATOMIC_COMMAND ?? fileURLToPath(new URL("../../.venv/bin/atomic", import.meta.url));

/** Start it before all tests; the function that is returned ends it. */
export default async function serve(project: TestProject): Promise<(() => Promise<void>) | undefined> {
  const given = process.env.ATOMIC_URL;
  if (given !== undefined) {
    project.provide("atomicUrl", given);
    return undefined;
  }
  const folder = mkdtempSync(join(tmpdir(), "atomic-"));
  const server = spawn(COMMAND, ["serve", "--dev", "--port", "0", "--data-dir", folder], {
    stdio: ["ignore", "inherit", "pipe"],
  });
  const ended = new Promise<void>((resolve, reject) => {
    server.once("exit", () => resolve());
    server.once("error", reject);
  });
  const url = new Promise<string>((resolve) => {
    createInterface(server.stderr).on("line", (line) => {
      const { url } = JSON.parse(line) as { url?: string };
      if (url !== undefined) {
        resolve(url);
      }
    });
  });
  project.provide(
    "atomicUrl",
    await Promise.race([url, ended.then(() => Promise.reject(new Error("it did not start")))]),
  );
  return async () => {
    server.kill();
    await ended;
    rmSync(folder, { recursive: true });
  };
}
