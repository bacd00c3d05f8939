/** The process of a server for development: how `atomic` is found, started and ended. */

import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { AtomicError } from "./errors.ts";
import { variable } from "./http.ts";

/** A server that runs. */
export interface Running {
  readonly url: string;
  /** End it. Resolves when its process has ended and its data is deleted. */
  end(): Promise<void>;
}

const READY_WITHIN_MS = 30_000;
const ENDS_WITHIN_MS = 10_000;
const SAID_LINES = 20;
// Nothing is on PyPI yet, where the name of the package could be that of another one.
const CURE = "`pip install 'path/to/checkout[server]'`, or name the program in ATOMIC_COMMAND";

/** Start `atomic serve --dev` on a free port. Rejects with what it said if it does not start. */
export async function runServer(command: string | undefined, flags: readonly string[]): Promise<Running> {
  const folder = await mkdtemp(join(tmpdir(), "atomic-"));
  const serve = ["serve", "--dev", "--host", "127.0.0.1", "--port", "0", "--data-dir", folder, ...flags];
  const named = command ?? variable("ATOMIC_COMMAND");
  try {
    const child = await started(named ?? "atomic", serve);
    if (child === undefined) {
      throw new AtomicError("no-server", `There is no ${named ?? "`atomic` on the PATH"}: ${CURE}.`);
    }
    return await ready(child, folder);
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

/** The process; undefined if there is no such program. */
async function started(program: string, flags: readonly string[]): Promise<ChildProcess | undefined> {
  // Settings of another server, such as its port, are not those of this one.
  const own = Object.entries(process.env).filter(([name]) => !/^ATOMIC_(?!COMMAND$)/.test(name));
  const child = spawn(program, flags, { stdio: ["ignore", "ignore", "pipe"], env: Object.fromEntries(own) });
  return new Promise((resolve, reject) => {
    child.once("spawn", () => resolve(child));
    child.once("error", (error: NodeJS.ErrnoException) =>
      error.code === "ENOENT" ? resolve(undefined) : reject(error),
    );
  });
}

async function ready(child: ChildProcess, folder: string): Promise<Running> {
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const kill = (): void => void child.kill("SIGKILL");
  process.once("exit", kill);
  const end = async (): Promise<void> => {
    child.kill();
    const timer = setTimeout(kill, ENDS_WITHIN_MS);
    await ended;
    clearTimeout(timer);
    process.off("exit", kill);
    await rm(folder, { recursive: true, force: true });
  };
  const said: string[] = [];
  const url = await new Promise<string | undefined>((resolve) => {
    const timer = setTimeout(resolve, READY_WITHIN_MS, undefined);
    createInterface({ input: child.stderr as NodeJS.ReadableStream })
      .on("line", (line) => {
        const told = listening(line);
        if (told !== undefined) {
          clearTimeout(timer);
          resolve(told);
        }
        said.push(line);
        said.splice(0, said.length - SAID_LINES);
      })
      .once("close", () => {
        clearTimeout(timer);
        resolve(undefined);
      });
  });
  if (url === undefined) {
    await end();
    throw new AtomicError("no-server", `The server did not start:\n${said.join("\n")}`);
  }
  return { url, end };
}

/** The URL that a line of the log tells. */
function listening(line: string): string | undefined {
  try {
    const { message, url } = JSON.parse(line) as { message?: string; url?: string };
    return message === "listening" ? url : undefined;
  } catch {
    return undefined;
  }
}
