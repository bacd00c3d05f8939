/** The adapter on Next.js itself, built by `next build` and served by `next start`. */

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { buildSync } from "esbuild";
import { afterAll, beforeAll, expect, inject, it } from "vitest";
import { Atomic } from "../src/index.ts";
import { ENVELOPE, SECRET, signatureOf } from "./signing.ts";

const PACKAGE = fileURLToPath(new URL("..", import.meta.url));
const ROUTE = `
import { endpoints, next } from "../../../atomic.js";

const users = endpoints({ secrets: process.env.SECRET ? [process.env.SECRET] : [] });
const insert = users.step("insert", (name, call) => ({ length: name.length, url: call.url }));
users.workflow("create", async (ctx, name) => ctx.step(insert, name));

export const dynamic = "force-dynamic";
export const { POST } = next(users);
`;
// Next follows no link that leads out of the folder with its packages, so the application is inside of it.
mkdirSync(join(PACKAGE, "dist"), { recursive: true });
const folder = mkdtempSync(join(PACKAGE, "dist", "next-app-"));
const environment = { ...process.env, NEXT_TELEMETRY_DISABLED: "1", ATOMIC_URL: inject("atomicUrl") };
const servers: ChildProcess[] = [];

function next(...options: string[]): [string, string[]] {
  return [process.execPath, [join(PACKAGE, "node_modules/next/dist/bin/next"), ...options]];
}

beforeAll(() => {
  const app = join(folder, "app");
  mkdirSync(join(app, "[team]", "[step]"), { recursive: true });
  writeFileSync(join(app, "[team]", "[step]", "route.js"), ROUTE);
  const contents = 'export { endpoints } from "./src/index.ts"; export { next } from "./src/next.ts";';
  buildSync({
    stdin: { contents, resolveDir: PACKAGE },
    bundle: true,
    format: "esm",
    platform: "neutral",
    outfile: join(folder, "atomic.js"),
  });
  writeFileSync(join(app, "layout.js"), "export default ({ children }) => <html><body>{children}</body></html>;");
  writeFileSync(join(app, "page.js"), "export default () => <p>users</p>;");
  writeFileSync(join(folder, "package.json"), "{}");
  writeFileSync(join(folder, "next.config.mjs"), `export default { turbopack: { root: ${JSON.stringify(PACKAGE)} } };`);
  const [command, options] = next("build");
  execFileSync(command, options, { cwd: folder, env: environment, stdio: "pipe" });
}, 120_000);

afterAll(async () => {
  for (const server of servers) {
    server.kill();
    await once(server, "exit");
  }
  rmSync(folder, { recursive: true });
});

async function started(secret: string): Promise<string> {
  const probe = createServer();
  probe.listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address() as { port: number };
  probe.close();
  const [command, options] = next("start", "-H", "127.0.0.1", "-p", `${port}`);
  const server = spawn(command, options, { cwd: folder, env: { ...environment, SECRET: secret } });
  servers.push(server);
  for await (const line of createInterface(server.stdout)) {
    if (line.includes("Ready")) {
      break;
    }
  }
  server.stdout.resume();
  return `http://127.0.0.1:${port}`;
}

it("runs a workflow", { timeout: 60_000 }, async () => {
  const url = await started("");
  const atomic = new Atomic({ url: inject("atomicUrl") });
  const create = { workflowName: "create", url: `${url}/users/create` };
  const outcome = await atomic.start(create, "ada", { key: randomUUID() });
  expect([outcome.status, outcome.response]).toMatchObject(["succeeded", { length: 3 }]);
});

it("takes signed calls of any size and path, and no others", { timeout: 60_000 }, async () => {
  const url = await started(SECRET);
  for (const [path, length] of [
    ["/users/insert", 2 * 1024 * 1024],
    ["/b%C3%BCro/insert", 3],
  ] as const) {
    const body = JSON.stringify({ ...ENVELOPE, payload: "a".repeat(length) });
    const called = `https://app.example${path}`;
    const headers = signatureOf(called, body);
    const response = await fetch(url + path, { method: "POST", body, headers });
    expect([response.status, await response.json()]).toEqual([200, { length, url: called }]);
    expect((await fetch(url + path, { method: "POST", body })).status).toBe(401);
    expect((await fetch(url + path)).status).toBe(405);
  }
});
