import { randomUUID } from "node:crypto";
import { describe, expect, it } from "vitest";
import { type AtomicError, NonRetryable } from "../src/index.ts";
import { served, until } from "./served.ts";

/** How the server answers requests for results. */
let answer: (input: string) => Response | undefined = () => undefined;

const { app, atomic, notes, note, url } = served("ts-unreadable", {
  fetch: async (input, init) => answer(String(input)) ?? fetch(input, init),
});

const book = app.step("book", (what: string, call) => {
  note(call.runId, what);
  if (what === "full") {
    throw new NonRetryable("it is full");
  }
});
const child = app.workflow("child", async (_, n: number) => {
  if (n < 0) {
    throw new NonRetryable("negative");
  }
  return n;
});

const everything = app.workflow("everything", async (ctx, _: null) => {
  const codes: string[] = [];
  const caught = async (work: Promise<unknown>): Promise<void> => {
    codes.push(await work.then(String, (error: AtomicError) => error.code));
  };
  await ctx.openEvent("late", { deadline: 50 });
  const failing = await ctx.startRun(child, -1);
  const other = await ctx.startRun(child, 2);
  await ctx.sleep(300);
  await caught(ctx.event("late"));
  await caught(failing.result());
  await caught(other.result());
  await caught(ctx.callback("posted", (to) => ctx.step(post, to)));
  await caught(
    ctx.saga(async (saga) => {
      await saga.step(book, "room", { undo: book, undoPayload: "undo room" });
      await saga.step(book, "full", { undo: book, undoPayload: "undo full" });
    }),
  );
  return codes;
});
const post = app.step("post", async (to: string) => {
  await fetch(to, { method: "POST", body: '"here"', headers: { "content-type": "application/json" } });
});

describe("results that cannot be read", () => {
  it("cost posts, and change no outcome", async () => {
    answer = (input) => (input.includes("/results?") ? new Response("a login page", { status: 403 }) : undefined);
    const outcome = await atomic.start(everything.at(url()), null, { key: randomUUID() });
    expect(outcome.response).toEqual(["event-expired", "run-failed", "2", "here", "step-failed"]);
    expect(notes.get(outcome.runId)).toEqual(["room", "full", "undo full", "undo room"]);
    expect(outcome.attempts).toBeGreaterThan(3);
  });

  const holding = app.workflow("holding", async (ctx, _: null) =>
    ctx.saga(async (saga) => {
      await saga.step(book, "room", { undo: book, undoPayload: "undo room" });
      await ctx.event("end");
    }),
  );

  it.each([
    ["for a while", 503],
    ["at all", 403],
  ])(
    "do not hide from a cancel what there is to undo, if the server does not tell %s",
    async (_, status) => {
      answer = () => undefined;
      const { id, runId } = await atomic.start(holding.at(url()), null, { key: randomUUID(), timeout: 0 });
      await until(async () => (await atomic.get(runId)).steps.find(({ kind }) => kind === "event"));
      let isBusy = true;
      answer = (input) => (isBusy && input.includes("/results?") ? new Response("", { status }) : undefined);
      await atomic.cancel(runId, { graceful: true });
      if (status === 503) {
        await new Promise((resolve) => setTimeout(resolve, 1500));
        isBusy = false;
      }
      await expect(atomic.wait(id)).rejects.toMatchObject({ code: "cancelled" });
      expect(notes.get(runId)).toEqual(["room", "undo room"]);
    },
    15_000,
  );

  const versioned = app.workflow("versioned", async (ctx, _: null) => {
    await ctx.sleep(50);
    return ctx.version("new", 3);
  });

  it("decide no version", async () => {
    let refused = 0;
    answer = (input) => (input.includes("/results?") && refused++ < 4 ? new Response("", { status: 403 }) : undefined);
    const outcome = await atomic.start(versioned.at(url()), null, { key: randomUUID(), retry: { backOff: 50 } });
    expect(outcome.response).toBe(3);
    expect(outcome.attempts).toBeGreaterThan(2);
  });
});
