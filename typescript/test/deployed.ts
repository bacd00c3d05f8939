/**
 * A program that serves a workflow for a deployed stack, starts it, and prints how it ended: `make test-aws` runs it.
 * The environment says where the stack is, who asks, and where the stack finds this program.
 */

import { createServer } from "node:http";
import { Atomic, type Call, endpoints, NonRetryable, StepFailedError } from "../src/index.ts";
import { node } from "../src/node.ts";

const { PORT = "", ENDPOINTS_URL = "" } = process.env;
const shop = endpoints({ waitMs: 1 });
let handlerCalls = 0;

const insert = shop.step("insert", (name: string, call: Call) => ({
  name,
  key: call.idempotencyKey,
  since: new Date(0),
}));
const flaky = shop.step("flaky", (_: null, call: Call) => {
  if (call.attempt === 1) throw new TypeError("not yet");
  return call.attempt;
});
const declined = shop.step("declined", (_: null): never => {
  throw new NonRetryable("no credit");
});
const double = shop.step("double", (value: number) => 2 * value);

const create = shop.workflow("create", async (ctx, name: string) => {
  handlerCalls++;
  const id = await ctx.uuid();
  const user = await ctx.step(insert, name);
  const [attempt, doubled] = await Promise.all([
    ctx.step(flaky, null, { retry: { count: 3, backOff: "1s", jitter: "none" } }),
    ctx.map([1, 2, 3], double, { concurrency: 2 }),
  ]);
  const reason = await ctx.step(declined, null).catch((error: unknown) => {
    if (error instanceof StepFailedError) return error.failure.lastStatus;
    throw error;
  });
  await ctx.sleep("2s");
  const approval = await ctx.event<{ by: string }>("approval");
  return {
    user,
    attempt,
    doubled: doubled.results(),
    reason,
    approval,
    isSameId: id === (await ctx.run("id", () => id)),
  };
});

const server = createServer(node(shop));
await new Promise<void>((resolve) => server.listen(Number(PORT), "127.0.0.1", resolve));
const atomic = new Atomic();
const key = "ada-1";
const started = await atomic.start(create.at(ENDPOINTS_URL), "ada", { key, timeout: 0 });
await atomic.signal({ workflowName: "create", key, name: "approval" }, { by: "bob" });
// The same start waits for the run that the first one began.
const { status, response } = await atomic.start(create.at(ENDPOINTS_URL), "ada", { key, timeout: "120s" });
const { steps } = await atomic.get(started.runId);
const unsigned = await fetch(`${ENDPOINTS_URL}/create`, { method: "POST", body: "{}" });
const kinds = steps.map((step) => step.kind).sort();
console.log(JSON.stringify({ status, response, kinds, isReplayed: handlerCalls > 1, unsigned: unsigned.status }));
server.close();
server.closeAllConnections();
