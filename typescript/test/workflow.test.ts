import { randomUUID } from "node:crypto";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { Atomic, endpoints, NonRetryable, StepFailedError } from "../src/index.ts";
import { node } from "../src/node.ts";

const connection = { url: inject("atomicUrl"), clientId: "ts-workflows" };
const atomic = new Atomic(connection);
const app = endpoints({ atomic: connection, waitMs: 200 });
const calls = new Map<string, number>();
let server: Server;
let url: string;

beforeAll(async () => {
  server = createServer(node(app));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/shop`;
});

afterAll(async () => {
  const closed = new Promise((resolve) => server.close(resolve));
  server.closeAllConnections();
  await closed;
});

function counted(name: string): number {
  const count = (calls.get(name) ?? 0) + 1;
  calls.set(name, count);
  return count;
}

const add = app.step("add", ({ a, b }: { a: number; b: number }) => a + b);
const flaky = app.step("flaky", (key: string) => {
  if (counted(key) < 3) {
    throw new TypeError("not yet");
  }
  return { at: new Date(0), key };
});
const broken = app.step("broken", (): never => {
  throw new NonRetryable("no card");
});

describe("a workflow", () => {
  const sums = app.workflow("sums", async (ctx, start: number) => {
    const one = await ctx.step(add, { a: start, b: 1 });
    const [two, three] = await Promise.all([ctx.step(add, { a: one, b: 1 }), ctx.step(add, { a: one, b: 2 })]);
    return [one, two, three];
  });

  it("calls steps one after the other and side by side", async () => {
    const outcome = await atomic.start(sums.at(url), 1, { key: randomUUID() });
    expect(outcome.response).toEqual([2, 3, 4]);
    const { steps } = await atomic.get(outcome.runId);
    expect(steps.length).toBe(3);
  });

  const patient = app.workflow("patient", async (ctx, key: string) => {
    counted(`patient ${key}`);
    const result = await ctx.step(flaky, key, { retry: { count: 5, backOff: 300, jitter: "none" } });
    return result.at;
  });

  it("is suspended while a step is retried, and gets its result when it is called again", async () => {
    const key = randomUUID();
    const outcome = await atomic.start(patient.at(url), key, { key });
    expect(outcome.response).toBe("1970-01-01T00:00:00.000Z");
    expect(calls.get(key)).toBe(3);
    expect(calls.get(`patient ${key}`)).toBe(2);
    const { root } = await atomic.get(outcome.runId);
    expect(root.attemptLog.map((attempt) => attempt.outcome)).toEqual(["suspended", "succeeded"]);
    expect(root.retriesUsed).toBe(0);
  });

  const untouched = app.workflow("untouched", async (ctx, key: string) => {
    try {
      const settled = await Promise.allSettled([
        ctx.step(flaky, key, { retry: { backOff: 300, jitter: "none" } }),
        ctx.step(broken, null),
      ]);
      return settled.map(({ status }) => status);
    } catch {
      return "caught a suspension";
    }
  });

  it("leaves try, catch and allSettled as they are", async () => {
    const key = randomUUID();
    expect((await atomic.start(untouched.at(url), key, { key })).response).toEqual(["fulfilled", "rejected"]);
  });

  const catching = app.workflow("catching", async (ctx) => {
    try {
      return await ctx.step(broken, null);
    } catch (error) {
      return error instanceof StepFailedError ? [error.code, error.failure.lastStatus] : String(error);
    }
  });

  it("may catch the failure of a step", async () => {
    expect((await atomic.start(catching.at(url), null, { key: randomUUID() })).response).toEqual(["step-failed", 500]);
  });

  const failing = app.workflow("failing", async (ctx) => ctx.step(broken, null));

  it("fails with the failure of its step, without a retry", async () => {
    const started = atomic.start(failing.at(url), null, { key: randomUUID() });
    await expect(started).rejects.toMatchObject({
      code: "step-failed",
      failure: { attempts: 1 },
      message: expect.stringContaining("no card"),
    });
  });

  const branching = app.workflow("branching", async (ctx, key: string) => {
    counted(`branching ${key}`);
    const branch = async (): Promise<number> => {
      await ctx.step(flaky, key, { retry: { backOff: 300, jitter: "none" } });
      return ctx.step(add, { a: 1, b: 1 });
    };
    const [, sum] = await Promise.all([ctx.sleep(1500), branch()]);
    return sum;
  });

  it("is suspended again when a branch ends while another one still waits", async () => {
    const key = randomUUID();
    const outcome = await atomic.start(branching.at(url), key, { key, timeout: "10s" });
    expect(outcome.response).toBe(2);
    const { root } = await atomic.get(outcome.runId);
    expect(root.attemptLog.map((attempt) => attempt.outcome)).toEqual(["suspended", "suspended", "succeeded"]);
  });

  const kept = app.workflow("kept", async (ctx, key: string) => {
    const id = await ctx.uuid();
    const at = await ctx.now();
    const dice = await ctx.run("dice", () => counted(`dice ${key}`));
    await ctx.sleep(400);
    return [id, at.getTime(), dice, await ctx.random()];
  });

  const nights = app.workflow("nights", async (ctx) => {
    await ctx.sleep(new Date(Date.now() + 1000), "night");
    await ctx.sleep(new Date(0));
    await ctx.sleep(new Date(Number.NaN)).catch((error: Error) => ctx.run("refused", () => error.message));
  });

  it("sleeps until the moment of its first call", async () => {
    const key = randomUUID();
    const { runId } = await atomic.start(nights.at(url), null, { key, timeout: "10s" });
    const { root, steps } = await atomic.get(runId);
    const [night, past, refused] = steps;
    expect(steps.map(({ stepName }) => stepName)).toEqual(["night", "sleep", "refused"]);
    expect(root.attempts).toBeGreaterThan(1);
    // The moment is of this process, and `createdAt` of the server: their clocks may differ a little.
    const slept = Date.parse(night?.startAt ?? "") - Date.parse(root.createdAt);
    expect(slept).toBeGreaterThan(900);
    expect(Date.parse(night?.finishedAt ?? "")).toBeGreaterThanOrEqual(Date.parse(night?.startAt ?? ""));
    expect(past?.startAt).toBe("1970-01-01T00:00:00.000Z");
    expect(refused?.response).toContain("startAt");
  });

  it("keeps what it found out while it sleeps", async () => {
    const key = randomUUID();
    const outcome = await atomic.start(kept.at(url), key, { key });
    const [id, at, dice] = outcome.response as [string, number, number];
    expect(id).toMatch(/^[0-9a-f-]{36}$/);
    expect(Date.now() - at).toBeLessThan(60_000);
    expect(dice).toBe(1);
    expect(calls.get(`dice ${key}`)).toBe(1);
    expect(outcome.attempts).toBe(2);
  });

  const approval = app.workflow("approval", async (ctx, _: string) => {
    const first = await ctx.event<{ by: string }>("approval");
    const second = await ctx.event("approval", { deadline: 100, default: "nobody" });
    return [first.by, second];
  });

  it("waits for events by name", async () => {
    const key = randomUUID();
    const started = atomic.start(approval.at(url), key, { key });
    await atomic.signal({ workflowName: "approval", key, name: "approval" }, { by: "ada" });
    expect((await started).response).toEqual(["ada", "nobody"]);
  });

  const ambiguous = app.workflow("ambiguous", async (ctx, withKey: boolean) => {
    const branch = async (b: number): Promise<number> => {
      const first = await ctx.step(add, { a: 0, b }, { key: `first ${b}` });
      return ctx.step(add, { a: first, b }, withKey ? { key: `second ${b}` } : {});
    };
    return Promise.all([branch(1), branch(2)]);
  });

  it("refuses calls whose order may differ between replays, unless they have keys", async () => {
    const started = atomic.start(ambiguous.at(url), false, { key: randomUUID(), retry: 0 });
    await expect(started).rejects.toMatchObject({ failure: { lastErrorType: "AmbiguousStepError" } });
    expect((await atomic.start(ambiguous.at(url), true, { key: randomUUID() })).response).toEqual([2, 4]);
  });
});
