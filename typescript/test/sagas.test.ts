import { randomUUID } from "node:crypto";
import { describe, expect, expectTypeOf, it } from "vitest";
import {
  type AtomicError,
  CancelledError,
  NonRetryable,
  RetryAfter,
  SagaFailedError,
  StepFailedError,
} from "../src/index.ts";

import { served, until } from "./served.ts";

const { app, atomic, notes, note, url } = served("ts-sagas");

const book = app.step("book", (what: string, call) => {
  note(call.runId, `book ${what}`);
  if (what === "full") {
    throw new NonRetryable("it is full");
  }
  return { ticket: `${what} ticket`, at: new Date(0) };
});
const cancelBooking = app.step("cancelBooking", (what: string, call) => {
  note(call.runId, `cancel ${what}`);
  if (what === "stuck") {
    throw new NonRetryable("it is stuck");
  }
});

function effects(runId: string): string[] {
  return notes.get(runId) ?? [];
}

async function failed(started: Promise<unknown>): Promise<[StepFailedError, string]> {
  const error = await started.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(error).toBeInstanceOf(StepFailedError);
  const { failure } = error as StepFailedError;
  return [error as StepFailedError, failure.id.slice(0, failure.id.indexOf("-"))];
}

describe("a saga", () => {
  const trip = app.workflow("trip", async (ctx, places: string[]) => {
    const tickets = await ctx.saga(async (saga) => {
      const booked: string[] = [];
      for (const place of places) {
        const ticket = await saga.step(book, place, { undo: cancelBooking });
        expectTypeOf(ticket).toEqualTypeOf<{ ticket: string; at: string }>();
        booked.push(ticket.ticket);
      }
      return booked;
    });
    expectTypeOf(tickets).toEqualTypeOf<string[]>();
    return tickets;
  });

  it("undoes nothing when its block ends well", async () => {
    const outcome = await atomic.start(trip.at(url()), ["a", "b"], { key: randomUUID() });
    expect(outcome.response).toEqual(["a ticket", "b ticket"]);
    expect(effects(outcome.runId)).toEqual(["book a", "book b"]);
    expect((await atomic.get(outcome.runId)).steps.length).toBe(2);
  });

  it("undoes in reverse order, also the call that failed, and fails as its block did", async () => {
    const [error, runId] = await failed(atomic.start(trip.at(url()), ["a", "b", "full", "c"], { key: randomUUID() }));
    expect(error.message).toContain("it is full");
    expect(effects(runId)).toEqual(["book a", "book b", "book full", "cancel full", "cancel b", "cancel a"]);
    const { steps, root } = await atomic.get(runId);
    expect(steps.map(({ stepName }) => stepName)).toEqual([
      null,
      null,
      null,
      "undo of saga",
      "undo book",
      "undo book",
      "undo book",
    ]);
    expect(root.attempts).toBeGreaterThan(1);
  });

  const stuck = app.workflow("stuck", async (ctx, _: null) => {
    try {
      await ctx.saga(
        async (saga) => {
          await saga.step(book, "a", { undo: cancelBooking });
          await saga.step(book, "b", { undo: cancelBooking, undoPayload: "stuck" });
          throw new RangeError("too far");
        },
        { name: "journey", retry: 0 },
      );
      return ["no error"];
    } catch (error) {
      return error instanceof SagaFailedError
        ? [error.code, error.because, error.errors.map((each) => (each as AtomicError).code), String(error.cause)]
        : [String(error)];
    }
  });

  it("goes on with the other undos when one fails, and collects their errors", async () => {
    const outcome = await atomic.start(stuck.at(url()), null, { key: randomUUID() });
    expect(outcome.response).toEqual(["saga-failed", "RangeError: too far", ["step-failed"], "RangeError: too far"]);
    expect(effects(outcome.runId)).toEqual(["book a", "book b", "cancel stuck", "cancel a"]);
  });

  const various = app.workflow("various", async (ctx, _: null) => {
    try {
      await ctx.saga(async (saga) => {
        const id = await saga.run("id", () => 7, { undo: "cancelBooking", undoPayload: "id" });
        expectTypeOf(id).toEqualTypeOf<number>();
        saga.undo(cancelBooking, "by hand");
        await saga.step("book", "by url", { undo: () => ctx.step(cancelBooking, "by function") });
        throw new Error("at the end");
      });
    } catch {
      return "undone";
    }
    return "not undone";
  });

  it("undoes values, by hand and by functions", async () => {
    const outcome = await atomic.start(various.at(url()), null, { key: randomUUID() });
    expect(outcome.response).toBe("undone");
    expect(effects(outcome.runId)).toEqual(["book by url", "cancel by function", "cancel by hand", "cancel id"]);
  });

  const changing = app.workflow("changing", async (ctx, _: null) =>
    ctx.saga(async (saga) => {
      await saga.step(book, "a", { undo: cancelBooking });
      if (ctx.attempt < 3) {
        throw new TypeError("only at first");
      }
      await saga.step(book, "new", { undo: cancelBooking });
      return "done";
    }),
  );

  it("stays undone when a later call of the handler does not raise, and calls nothing new", async () => {
    const [error, runId] = await failed(
      atomic.start(changing.at(url()), null, { key: randomUUID(), retry: { backOff: 50 } }),
    );
    expect(error.message).toContain("saga was undone: TypeError: only at first.");
    expect(effects(runId)).toEqual(["book a", "cancel a"]);
  });

  const later = app.workflow("later", async (ctx, _: null) =>
    ctx.saga(async (saga) => {
      await saga.step(book, "a", { undo: cancelBooking });
      if (ctx.attempt < 3) {
        throw new RetryAfter(0, "not yet");
      }
      return "done";
    }),
  );

  it("undoes nothing for RetryAfter", async () => {
    const outcome = await atomic.start(later.at(url()), null, { key: randomUUID(), retry: { backOff: 20 } });
    expect([outcome.response, effects(outcome.runId)]).toEqual(["done", ["book a"]]);
  });

  const sideBySide = app.workflow("sideBySide", async (ctx, _: null) =>
    ctx.saga(async (saga) => {
      await Promise.all([
        saga.step(book, "full", { undo: cancelBooking, key: "full" }),
        saga.step(book, "a", { undo: cancelBooking, delay: 400, key: "a" }),
      ]);
    }),
  );

  it("waits for a call that its block did not wait for, before it undoes it", async () => {
    const [, runId] = await failed(atomic.start(sideBySide.at(url()), null, { key: randomUUID() }));
    expect(effects(runId)).toEqual(["book full", "book a", "cancel a", "cancel full"]);
  });

  const branches = app.workflow("branches", async (ctx, _: null) => {
    const one = async (name: string, places: string[]): Promise<string> =>
      ctx.saga(
        async (saga) => {
          for (const place of places) {
            await saga.step(book, place, { undo: cancelBooking, key: `${name} ${place}` });
          }
          return name;
        },
        { name },
      );
    const ends = await Promise.allSettled([one("good", ["a", "b"]), one("bad", ["c", "full"])]);
    return ends.map(({ status }) => status);
  });

  it("undoes its own calls where several run side by side", async () => {
    const outcome = await atomic.start(branches.at(url()), null, { key: randomUUID() });
    expect(outcome.response).toEqual(["fulfilled", "rejected"]);
    expect(effects(outcome.runId).filter((what) => what.startsWith("cancel"))).toEqual(["cancel full", "cancel c"]);
  });

  const late = app.workflow("late", async (ctx, _: null) => {
    const kept = await ctx.saga(async (saga) => saga);
    return kept.step(book, "a", { undo: cancelBooking });
  });

  it("takes no calls after its end", async () => {
    const [error] = await failed(atomic.start(late.at(url()), null, { key: randomUUID(), retry: 0 }));
    expect(error.message).toContain("ended before this call");
  });

  it("undoes again what a redrive has called again", async () => {
    const [, runId] = await failed(atomic.start(trip.at(url()), ["a", "full"], { key: randomUUID() }));
    const { steps } = await atomic.get(runId);
    const full = steps.find(({ status }) => status === "failed");
    await atomic.redrive(full?.id ?? "");
    await until(() => (effects(runId).filter((what) => what === "cancel full").length === 2 ? true : undefined));
    await until(async () => ((await atomic.get(runId)).root.finishedAt === null ? undefined : true));
    expect(effects(runId)).toEqual(["book a", "book full", "cancel full", "cancel a", "book full", "cancel full"]);
    expect((await atomic.get(runId)).root.status).toBe("failed");
  });
});

describe("a graceful cancel", () => {
  const slow = app.step("slow", async (what: string, call) => {
    note(call.runId, `slow ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 400));
  });

  const busy = app.workflow("busy", async (ctx, _: null) =>
    ctx.saga(async (saga) => {
      await saga.step(slow, "car", { undo: cancelBooking });
      await saga.step(book, "bike", { undo: cancelBooking });
    }),
  );

  it("lets a step end that is under way, calls no further one, and undoes it", async () => {
    const { id, runId } = await atomic.start(busy.at(url()), null, { key: randomUUID(), timeout: 0 });
    await until(() => effects(runId)[0]);
    await atomic.cancel(runId, { graceful: true });
    await expect(atomic.wait(id)).rejects.toMatchObject({ code: "cancelled" });
    expect(effects(runId)).toEqual(["slow car", "cancel bike", "cancel car"]);
  });

  const sticking = app.workflow("sticking", async (ctx, _: null) =>
    ctx.saga(
      async (saga) => {
        await saga.step(book, "stuck", { undo: cancelBooking });
        await ctx.event("never");
      },
      { retry: 0 },
    ),
  );

  it("fails when an undo fails", async () => {
    const { id, runId } = await atomic.start(sticking.at(url()), null, { key: randomUUID(), timeout: 0 });
    await until(async () => (await atomic.get(runId)).steps.find(({ kind }) => kind === "event"));
    await atomic.cancel(runId, { graceful: true });
    await expect(atomic.wait(id)).rejects.toMatchObject({ message: expect.stringContaining("An undo failed") });
  });

  const hesitant = app.step("hesitant", (what: string, call) => {
    note(call.runId, what);
    if (effects(call.runId).filter((each) => each === what).length === 1) {
      throw new Error("not at first");
    }
  });
  const undoing = app.workflow("undoing", async (ctx, _: null) =>
    ctx.saga(
      async (saga) => {
        await saga.step(book, "a", { undo: cancelBooking });
        await saga.step(book, "b", { undo: hesitant });
        throw new NonRetryable("its own");
      },
      { retry: { backOff: "1h", maxBackOff: "1h" } },
    ),
  );

  it("makes an undo again that it has ended", async () => {
    const { id, runId } = await atomic.start(undoing.at(url()), null, { key: randomUUID(), timeout: 0 });
    await until(async () => (await atomic.get(runId)).steps.find(({ status }) => status === "retrying"));
    await atomic.cancel(runId, { graceful: true });
    await expect(atomic.wait(id)).rejects.toMatchObject({ message: expect.stringContaining("its own") });
    expect(effects(runId)).toEqual(["book a", "book b", "b", "b", "cancel a"]);
  });

  const renting = app.workflow("renting", async (ctx, _: string) =>
    ctx.saga(async (saga) => {
      await saga.step(book, "car", { undo: cancelBooking });
      await saga.step(book, "bike", { undo: cancelBooking });
      await ctx.event("returned");
      note(ctx.runId, "returned");
    }),
  );

  it("undoes in the middle of a saga, and the run ends as cancelled", async () => {
    const key = randomUUID();
    const { id, runId } = await atomic.start(renting.at(url()), key, { key, timeout: 0 });
    await until(async () => (await atomic.get(runId)).steps.find(({ kind }) => kind === "event"));
    await atomic.cancel(runId, { graceful: true });
    await expect(atomic.wait(id)).rejects.toMatchObject({ code: "cancelled" });
    expect(effects(runId)).toEqual(["book car", "book bike", "cancel bike", "cancel car"]);
  });

  const catching = app.workflow("catching", async (ctx, _: string) => {
    const codes: string[] = [];
    try {
      await ctx.event("returned");
    } catch (error) {
      codes.push(error instanceof CancelledError ? error.code : String(error));
    }
    codes.push(`${ctx.isCancelled}`, (await ctx.step(book, "after")).ticket);
    return codes;
  });

  it("rejects one call, and later ones are made as usual", async () => {
    const key = randomUUID();
    const { id, runId } = await atomic.start(catching.at(url()), key, { key, timeout: 0 });
    await until(async () => (await atomic.get(runId)).steps[0]);
    await atomic.cancel(runId, { graceful: true });
    expect((await atomic.wait(id)).response).toEqual(["run-cancelled", "true", "after ticket"]);
  });

  const deciding = app.workflow("deciding", async (ctx, _: string) => {
    await ctx.step(book, "first");
    if (ctx.isCancelled) {
      await ctx.step(book, "new");
    }
    await ctx.event("never");
  });

  it("rejects the first new call, which is never made", async () => {
    const key = randomUUID();
    const { id, runId } = await atomic.start(deciding.at(url()), key, { key, timeout: 0 });
    await until(async () => (await atomic.get(runId)).steps.find(({ kind }) => kind === "event"));
    await atomic.cancel(runId, { graceful: true });
    await expect(atomic.wait(id)).rejects.toMatchObject({ code: "cancelled" });
    expect(effects(runId)).toEqual(["book first"]);
  });

  const child = app.workflow("child", async (ctx, _: null) => ctx.runWorkflow(renting, ctx.idempotencyKey));

  it("lets child runs undo as well", async () => {
    const key = randomUUID();
    const { id, runId } = await atomic.start(child.at(url()), null, { key, timeout: 0 });
    const childRunId = await until(async () => (await atomic.get(runId)).steps[0]?.childRunId ?? undefined);
    await until(async () => (await atomic.get(childRunId)).steps.find(({ kind }) => kind === "event"));
    await atomic.cancel(runId, { graceful: true });
    await expect(atomic.wait(id)).rejects.toMatchObject({ code: "cancelled" });
    expect(effects(childRunId)).toEqual(["book car", "book bike", "cancel bike", "cancel car"]);
  });

  const continuing = app.workflow("continuing", async (ctx, round: number): Promise<null> => {
    await ctx.step(book, `${round}`);
    await ctx.event("next");
    return ctx.continueAs(round + 1);
  });

  it("does not go on as another run", async () => {
    const key = randomUUID();
    const { id, runId } = await atomic.start(continuing.at(url()), 1, { key, timeout: 0 });
    await until(async () => (await atomic.get(runId)).steps.find(({ kind }) => kind === "event"));
    await atomic.cancel(runId, { graceful: true });
    await expect(atomic.wait(id)).rejects.toMatchObject({ code: "cancelled" });
    expect((await atomic.runs({ keyPrefix: key })).length).toBe(1);
  });
});
