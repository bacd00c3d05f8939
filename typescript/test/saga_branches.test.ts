import { randomUUID } from "node:crypto";
import { describe, expect, it } from "vitest";
import { type AtomicError, NonRetryable } from "../src/index.ts";
import { served, until } from "./served.ts";

const { app, atomic, notes, note, url } = served("ts-saga-branches");

const book = app.step("book", (what: string, call) => {
  note(call.runId, what);
  if (what.startsWith("full")) {
    throw new NonRetryable("it is full");
  }
});
const undo = app.step("undo", (what: string, call) => {
  note(call.runId, `no ${what}`);
});

async function waits(runId: string, events = 1): Promise<void> {
  await until(async () => {
    const found = (await atomic.get(runId)).steps.filter(({ kind }) => kind === "event");
    return found.length === events ? true : undefined;
  });
}

describe("branches", () => {
  const one = app.workflow("one", async (ctx, _: null) =>
    ctx.saga(async (saga) => {
      await saga.step(book, "first", { undo });
      const batch = await ctx.parallel([
        async (branch) => {
          await branch.sleep(50);
          await saga.step(book, "a1", { undo });
          await saga.step(book, "a2", { undo });
        },
        async () => {
          await saga.step(book, "b1", { undo });
          await saga.step(book, "full b2", { undo });
        },
      ]);
      return batch.results();
    }),
  );

  it("may call one saga, which undoes what all of them did", async () => {
    const { id, runId } = await atomic.start(one.at(url()), null, { key: randomUUID(), timeout: 0 });
    await expect(atomic.wait(id)).rejects.toMatchObject({ code: "step-failed" });
    const done = notes.get(runId) ?? [];
    expect(done.filter((what) => !what.startsWith("no ")).sort()).toEqual(["a1", "a2", "b1", "first", "full b2"]);
    const undone = done.filter((what) => what.startsWith("no "));
    expect([...undone].sort()).toEqual(["no a1", "no a2", "no b1", "no first", "no full b2"]);
    expect(undone.indexOf("no a2")).toBeLessThan(undone.indexOf("no a1"));
    expect(undone.at(-1)).toBe("no first");
  });

  const each = app.workflow("each", async (ctx, _: null) => {
    const batch = await ctx.map(["a", "full b", "c"], (branch, item) =>
      branch.saga(async (saga) => {
        await saga.step(book, `room ${item}`, { undo });
        await saga.step(book, item, { undo });
        return item;
      }),
    );
    return batch.items.map(({ status }) => status);
  });

  it("may have sagas of their own", async () => {
    const outcome = await atomic.start(each.at(url()), null, { key: randomUUID() });
    expect(outcome.response).toEqual(["succeeded", "failed", "succeeded"]);
    const undone = notes.get(outcome.runId)?.filter((what) => what.startsWith("no "));
    expect(undone).toEqual(["no full b", "no room full b"]);
  });

  const racing = app.workflow("racing", async (ctx, _: null) =>
    ctx.saga(async (saga) => {
      await saga.step(book, "before", { undo });
      return ctx.race({
        quick: (branch) => branch.sleep(10),
        saga: () => saga.step(book, "in a race", { undo }).catch(() => "caught"),
      });
    }),
  );

  it("of a race must not call a saga", async () => {
    const started = atomic.start(racing.at(url()), null, { key: randomUUID() });
    await expect(started).rejects.toMatchObject({ message: expect.stringContaining("may end early") });
  });
});

describe("a graceful cancel", () => {
  const waiting = app.workflow("waiting", async (ctx, _: null) => {
    const batch = await ctx.parallel({
      a: (branch) =>
        branch.saga(async (saga) => {
          await saga.step(book, "a", { undo });
          await branch.event("end");
        }),
      b: async (branch) => {
        try {
          await branch.event("end");
        } catch (error) {
          await branch.step(book, `b ${(error as AtomicError).code}`);
          throw error;
        }
      },
    });
    return batch.results();
  });

  it("is told to each branch", async () => {
    const { id, runId } = await atomic.start(waiting.at(url()), null, { key: randomUUID(), timeout: 0 });
    await waits(runId, 2);
    await atomic.cancel(runId, { graceful: true });
    await expect(atomic.wait(id)).rejects.toMatchObject({ code: "cancelled" });
    expect(notes.get(runId)?.sort()).toEqual(["a", "b run-cancelled", "no a"]);
  });

  const inner = app.workflow("inner", async (ctx, _: null) =>
    ctx.saga(async (saga) => {
      await saga.step(book, "inner", { undo });
      await ctx.event("end");
    }),
  );
  const outer = app.workflow("outer", async (ctx, _: null) =>
    ctx.saga(async (saga) => {
      await saga.step(book, "outer", { undo });
      await ctx.step(inner, null);
    }),
  );

  it("reaches nested workflows first", async () => {
    const { id, runId } = await atomic.start(outer.at(url()), null, { key: randomUUID(), timeout: 0 });
    await waits(runId);
    await atomic.cancel(runId, { graceful: true });
    await expect(atomic.wait(id)).rejects.toMatchObject({ code: "cancelled" });
    expect(notes.get(runId)).toEqual(["outer", "inner", "no inner", "no outer"]);
  });

  const opened = app.workflow("opened", async (ctx, _: null) => {
    const { id, url: to } = await ctx.openEvent("answer");
    await ctx.step(book, to);
    await ctx.runWorkflow(inner, null, { onCancel: "keep", key: `${ctx.idempotencyKey}/kept` });
    return id;
  });

  it("leaves opened events as they were in a replay, and runs that are kept", async () => {
    const key = randomUUID();
    const { id, runId } = await atomic.start(opened.at(url()), null, { key, timeout: 0 });
    const kept = await until(
      async () => (await atomic.get(runId)).steps.find(({ kind }) => kind === "run")?.childRunId,
    );
    await waits(kept ?? "");
    await atomic.cancel(runId, { graceful: true });
    await expect(atomic.wait(id)).rejects.toMatchObject({ code: "cancelled" });
    expect(notes.get(runId)?.length).toBe(1);
    expect((await atomic.get(kept ?? "")).run.status).toBe("waiting");
    await atomic.signal({ workflowName: "inner", key: `${key}/kept`, name: "end" });
    expect((await atomic.wait(`${kept}-root`)).status).toBe("succeeded");
  });
});
