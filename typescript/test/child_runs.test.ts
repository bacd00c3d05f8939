import { randomUUID } from "node:crypto";
import { describe, expect, expectTypeOf, it } from "vitest";
import { nextKey } from "../src/child_runs.ts";
import { type AtomicError, CancelledError, NonRetryable, type RunHandle, StepFailedError } from "../src/index.ts";
import { served, until } from "./served.ts";

const { app, atomic, notes, note, url } = served("ts-runs");

const charge = app.step("charge", (month: number, call) => {
  note(call.runId, `${month}`);
  return new Date(month);
});

const invoice = app.workflow("invoice", async (ctx, customer: string) => {
  if (customer === "nobody") {
    throw new NonRetryable("no such customer");
  }
  if (customer === "slow") {
    await ctx.event("go");
  }
  return { customer, at: await ctx.step(charge, 1) };
});

describe("a child run", () => {
  const closing = app.workflow("closing", async (ctx, key: string) => {
    const handle = await ctx.startRun(invoice, "ada", { key: `${key}/ada` });
    expectTypeOf(handle).toEqualTypeOf<RunHandle<{ customer: string; at: string }>>();
    const other = await ctx.startRun(invoice.at(url()), "bob");
    const byUrl = await ctx.runWorkflow("invoice", "cora", { workflowName: "invoices" });
    expectTypeOf(byUrl).toEqualTypeOf<unknown>();
    const result = await handle.result();
    expectTypeOf(result).toEqualTypeOf<{ customer: string; at: string }>();
    return [result.customer, (await other.result()).customer, (byUrl as { customer: string }).customer, handle.runId];
  });

  it("has a name and a key of its own, is started once and waited for later", async () => {
    const key = randomUUID();
    const outcome = await atomic.start(closing.at(url()), key, { key });
    const [ada, bob, cora, runId] = outcome.response;
    expect([ada, bob, cora]).toEqual(["ada", "bob", "cora"]);
    const { run } = await atomic.get(runId ?? "");
    expect([run.workflowName, run.idempotencyKey]).toEqual(["invoice", `${key}/ada`]);
    const links = (await atomic.get(outcome.runId)).steps.filter(({ kind }) => kind === "run");
    expect(links.length).toBe(3);
    expect(outcome.attempts).toBeGreaterThan(1);
    for (const { childRunId } of links) {
      expect(notes.get(childRunId ?? "")).toEqual(["1"]);
    }
  });

  const waiting = app.workflow("waiting", async (ctx, at: string) => {
    const options = { startAt: new Date(at), startBy: "1m" } as const;
    const { runId, result } = await ctx.startRun(invoice, "dora", options);
    return [runId, (await result()).customer];
  });

  it("starts at its time, or now", async () => {
    const at = new Date(Date.now() + 3_600_000).toISOString();
    const { runId } = await atomic.start(waiting.at(url()), at, { key: randomUUID(), timeout: 0 });
    const link = await until(async () => (await atomic.get(runId)).steps.find(({ kind }) => kind === "run"));
    const child = await atomic.step(`${link.childRunId}-root`);
    expect([child.status, child.startAt, child.dueAt, link.startAt]).toEqual(["pending", at, at, at]);
    await atomic.due(child.id);
    expect((await atomic.wait(`${runId}-root`)).response).toEqual([link.childRunId, "dora"]);
  });

  const failing = app.workflow("failing", async (ctx, _: string) => {
    try {
      return await ctx.runWorkflow(invoice, "nobody");
    } catch (error) {
      return error instanceof StepFailedError ? [error.code, error.failure.childRunId?.slice(0, 4)] : String(error);
    }
  });

  it("fails with the failure of its run", async () => {
    expect((await atomic.start(failing.at(url()), "", { key: randomUUID() })).response).toEqual(["run-failed", "run_"]);
  });

  const patient = app.workflow("patient", async (ctx, _: null) => {
    const handle = await ctx.startRun(invoice, "nobody");
    await ctx.sleep(300);
    try {
      return [await handle.result()];
    } catch (error) {
      return [(error as AtomicError).code, ctx.attempt > 1];
    }
  });

  it("rejects its result and not its start, also in a call that comes after its failure", async () => {
    expect((await atomic.start(patient.at(url()), null, { key: randomUUID() })).response).toEqual(["run-failed", true]);
  });

  const several = app.workflow("several", async (ctx, _: null) => {
    const first = await ctx.startRun(invoice, "ada");
    const second = await ctx.runWorkflow(invoice, "bob");
    const third = await ctx.startRun(invoice, "cora");
    return [(await first.result()).customer, second.customer, (await third.result()).customer];
  });

  it("is another one for each call without a key", async () => {
    const outcome = await atomic.start(several.at(url()), null, { key: randomUUID() });
    expect(outcome.response).toEqual(["ada", "bob", "cora"]);
  });

  const differing = app.workflow("differing", async (ctx, key: string) => {
    await ctx.runWorkflow(invoice, "ada", { key });
    const codes: string[] = [];
    for (const name of ["bob", "cora"]) {
      try {
        await ctx.startRun(invoice, name, { key, name: "again" });
      } catch (error) {
        codes.push((error as AtomicError).code);
      }
    }
    return codes;
  });

  it("is refused where another payload came with its key, when it is started", async () => {
    const key = randomUUID();
    expect((await atomic.start(differing.at(url()), key, { key })).response).toEqual(["run-differs", "run-differs"]);
  });

  const cycle = app.workflow("cycle", async (ctx, key: string) => {
    try {
      return await ctx.runWorkflow("cycle", key, { workflowName: "cycle", key });
    } catch (error) {
      return (error as AtomicError).code;
    }
  });

  it("cannot be the run that waits for it", async () => {
    const key = randomUUID();
    expect((await atomic.start(cycle.at(url()), key, { key })).response).toBe("run-cycle");
  });

  const cancelling = app.workflow("cancelling", async (ctx, byHandle: boolean) => {
    const handle = await ctx.startRun(invoice, "slow");
    await ctx.run("note", () => {
      note(ctx.runId, handle.runId);
    });
    if (byHandle) {
      await handle.cancel();
    }
    try {
      return await handle.result();
    } catch (error) {
      return error instanceof CancelledError ? error.code : String(error);
    }
  });

  it("is cancelled by its handle, or from elsewhere", async () => {
    expect((await atomic.start(cancelling.at(url()), true, { key: randomUUID() })).response).toBe("step-cancelled");
    const key = randomUUID();
    const started = atomic.start(cancelling.at(url()), false, { key });
    const runId = await until(async () => {
      const [run] = await atomic.runs({ workflowName: "cancelling", keyPrefix: key });
      return notes.get(run?.runId ?? "")?.[0];
    });
    await atomic.cancel(runId);
    expect((await started).response).toBe("step-cancelled");
  });

  const detaching = app.workflow("detaching", async (ctx, key: string) => {
    const { runId, result } = await ctx.startRun(invoice, "slow", { key, detached: true });
    return [runId, await result().catch((error: AtomicError) => error.code)];
  });

  it("goes on by itself when it is detached", async () => {
    const key = randomUUID();
    const outcome = await atomic.start(detaching.at(url()), key, { key });
    const [runId = "", code] = outcome.response;
    expect(code).toBe("invalid-request");
    await atomic.signal({ workflowName: "invoice", key, name: "go" }, null);
    expect((await atomic.wait(`${runId}-root`)).response).toEqual({ customer: "slow", at: "1970-01-01T00:00:00.001Z" });
  });
});

describe("a run that goes on as another one", () => {
  const subscription = app.workflow("subscription", async (ctx, month: number): Promise<string> => {
    await ctx.step(charge, month);
    if (month === 3) {
      return `stopped in ${ctx.idempotencyKey}`;
    }
    try {
      await ctx.continueAs(month + 1);
    } catch {
      return "caught";
    }
    return "it returned";
  });

  it("has the next keys, and its callers get the last outcome", async () => {
    const key = randomUUID();
    const outcome = await atomic.start(subscription.at(url()), 1, { key });
    expect(outcome.response).toBe(`stopped in ${key}/3`);
    const runs = await atomic.runs({ keyPrefix: key });
    expect(runs.map(({ idempotencyKey }) => idempotencyKey).sort()).toEqual([key, `${key}/2`, `${key}/3`]);
    expect(runs.map(({ runId }) => notes.get(runId)?.length)).toEqual([1, 1, 1]);
  });

  const following = app.workflow("following", async (ctx, key: string) =>
    ctx.runWorkflow(subscription, 2, { key: `${key}/sub` }),
  );

  it("is followed by a run that waits for it", async () => {
    const key = randomUUID();
    const outcome = await atomic.start(following.at(url()), key, { key });
    expect(outcome.response).toBe(`stopped in ${key}/sub/2`);
  });

  const nested = app.workflow("nested", async (ctx, _: null) => ctx.step(subscription, 1));

  it("must be a whole run", async () => {
    const started = atomic.start(nested.at(url()), null, { key: randomUUID() });
    await expect(started).rejects.toMatchObject({ message: expect.stringContaining("only a whole run") });
  });

  it("numbers its keys as the SDK of Python does", async () => {
    expect(await nextKey("order", false)).toBe("order/2");
    expect(await nextKey("report/11", false)).toBe("report/11/2");
    expect(await nextKey("report/11", true)).toBe("report/12");
    const long = "k".repeat(255);
    expect(await nextKey(long, false)).toBe(PYTHON_LONG);
  });
});

// What `next_key("k" * 255, is_next=False)` of Python gives.
const PYTHON_LONG =
  "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk-f03765e8ed8d091e/2";
