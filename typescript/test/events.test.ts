import { randomUUID } from "node:crypto";
import { describe, expect, expectTypeOf, it } from "vitest";
import { EventClient, type OpenedEvent, StepFailedError } from "../src/index.ts";
import { served, until } from "./served.ts";

const { app, atomic, connection, notes, note, url } = served("ts-events");
const worker = new EventClient(connection);

const echo = app.step("echo", (value: string, call) => {
  note(call.runId, value);
  return value;
});

async function post(target: string, body: unknown): Promise<number> {
  const headers = { "content-type": "application/json" };
  return (await fetch(target, { method: "POST", headers, body: JSON.stringify(body) })).status;
}

describe("an opened event", () => {
  const opening = app.workflow("opening", async (ctx, _: string) => {
    const asked = await ctx.openEvent("approval", { deadline: "20s" });
    expectTypeOf(asked).toEqualTypeOf<OpenedEvent>();
    await ctx.step(echo, asked.url);
    await ctx.step(echo, asked.id);
    const result = await ctx.event<{ by: string }>("approval");
    expectTypeOf(result).toEqualTypeOf<{ by: string }>();
    return [result.by, await ctx.event<string>("approval")];
  });

  it("has a URL and an id that are the same in each call, and is waited for by its name", async () => {
    const key = randomUUID();
    const started = atomic.start(opening.at(url()), key, { key });
    const [runId] = await until(async () => {
      const [run] = await atomic.runs({ keyPrefix: key });
      return run !== undefined && notes.get(run.runId)?.length === 2 ? [run.runId] : undefined;
    });
    const [callback = "", id = ""] = notes.get(runId ?? "") ?? [];
    expect(await post(callback, { by: "ada" })).toBe(200);
    expect((await atomic.step(id)).status).toBe("succeeded");
    await atomic.signal({ workflowName: "opening", key, name: "approval", number: 2 }, "second");
    expect((await started).response).toEqual(["ada", "second"]);
    const { steps, root } = await atomic.get(runId ?? "");
    expect(steps.filter(({ kind }) => kind === "event").map(({ stepName }) => stepName)).toEqual([
      "approval",
      "approval#2",
    ]);
    expect(root.attempts).toBeGreaterThan(1);
    expect(notes.get(runId ?? "")?.length).toBe(2);
  });

  const completed = app.workflow("completed", async (ctx, _: string) => {
    const { id } = await ctx.openEvent("work", { heartbeat: 400 });
    await ctx.step(echo, id);
    return ctx.event("work");
  });

  it("is kept by heartbeats, and completed by its id", async () => {
    const key = randomUUID();
    const started = atomic.start(completed.at(url()), key, { key });
    const id = await until(async () => notes.get((await atomic.runs({ keyPrefix: key }))[0]?.runId ?? "")?.[0]);
    for (let beats = 0; beats < 4; beats++) {
      await new Promise((resolve) => setTimeout(resolve, 200));
      await (beats % 2 === 0
        ? worker.heartbeat(id)
        : worker.heartbeat({ workflowName: "completed", key, name: "work" }));
    }
    expect((await worker.complete(id, { done: 1 })).status).toBe("succeeded");
    expect((await started).response).toEqual({ done: 1 });
    await expect(worker.heartbeat(id)).rejects.toMatchObject({ code: "not-an-open-event" });
  });

  const missed = app.workflow("missed", async (ctx, withDefault: boolean) => {
    await ctx.openEvent("work", { heartbeat: 50 });
    try {
      return await ctx.event("work", withDefault ? { heartbeat: 50, default: "nobody" } : {});
    } catch (error) {
      return error instanceof StepFailedError ? error.code : String(error);
    }
  });

  it("expires without heartbeats, which a default may replace", async () => {
    const without = atomic.start(missed.at(url()), false, { key: randomUUID() });
    const withDefault = atomic.start(missed.at(url()), true, { key: randomUUID() });
    expect((await without).response).toBe("heartbeat-missed");
    expect((await withDefault).response).toBe("nobody");
  });

  const branches = app.workflow("branches", async (ctx, _: string) => {
    const [ids] = [
      await ctx.parallel({
        one: async (branch) => (await branch.openEvent("work", { deadline: "0.05s" })).id,
        two: async (branch) => (await branch.openEvent("work", { deadline: 50 })).id,
      }),
    ];
    const first = await ctx.event("work", { deadline: 50, default: "first" });
    const second = await ctx.event("work", { default: "second", deadline: { ms: 50 } });
    return [new Set(ids.results()).size, first, second];
  });

  it("of a branch may be waited for by the workflow itself", async () => {
    const outcome = await atomic.start(branches.at(url()), "", { key: randomUUID() });
    expect(outcome.response).toEqual([2, "first", "second"]);
    const { steps } = await atomic.get(outcome.runId);
    expect(steps.filter(({ kind }) => kind === "event").length).toBe(2);
  });

  const differing = app.workflow("differing", async (ctx, _: null) => {
    await ctx.openEvent("work", { deadline: 60_000 });
    return ctx.event("work", { deadline: 50_000 });
  });

  it("has one deadline", async () => {
    const started = atomic.start(differing.at(url()), null, { key: randomUUID() });
    await expect(started).rejects.toMatchObject({ message: expect.stringContaining("in one place") });
  });

  const hopeful = app.workflow("hopeful", async (ctx, _: null) => ctx.event("never", { default: 1 }));

  it("needs a limit for a default", async () => {
    const started = atomic.start(hopeful.at(url()), null, { key: randomUUID() });
    await expect(started).rejects.toMatchObject({ message: expect.stringContaining("a default is for") });
  });
});

describe("an event that nobody gives a result", () => {
  const expiring = app.workflow("expiring", async (ctx, mode: "default" | "none" | "rejected") => {
    if (mode === "default") {
      const given = await ctx.event<string, undefined>("answer", { deadline: 50, default: undefined });
      expectTypeOf(given).toEqualTypeOf<string | undefined>();
      return [given === undefined];
    }
    try {
      return [await ctx.event<string>("answer", mode === "none" ? { deadline: 50 } : {})];
    } catch (error) {
      return error instanceof StepFailedError ? [error.code, error.failure.response ?? null] : [String(error)];
    }
  });

  it("expires, with and without a default", async () => {
    const none = atomic.start(expiring.at(url()), "none", { key: randomUUID() });
    const defaulted = atomic.start(expiring.at(url()), "default", { key: randomUUID() });
    expect((await none).response).toEqual(["event-expired", null]);
    expect((await defaulted).response).toEqual([true]);
  });

  it("may be rejected, with members for programs", async () => {
    const key = randomUUID();
    const started = atomic.start(expiring.at(url()), "rejected", { key });
    await atomic.reject({ workflowName: "expiring", key, name: "answer" }, "too dear", { limit: 3 });
    expect((await started).response).toEqual(["event-rejected", { limit: 3, detail: "too dear" }]);
  });
});

describe("messages", () => {
  const chat = app.workflow("chat", async (ctx, _: string) => {
    const heard: string[] = [];
    for await (const message of ctx.events<string>("message", { deadline: "10s" })) {
      heard.push(message);
      if (message === "bye") {
        break;
      }
    }
    for await (const _ of ctx.events("silence", { deadline: 50 })) {
      heard.push("not silent");
    }
    return heard;
  });

  it("arrive in order, once each", async () => {
    const key = randomUUID();
    const address = { workflowName: "chat", key, name: "message" };
    await worker.send(address, "early", { id: "1" });
    const started = atomic.start(chat.at(url()), key, { key });
    await worker.send(address, "early", { id: "1" });
    expect((await worker.send(address, "second")).name).toBe("message#2");
    await worker.send(address, "bye");
    expect((await started).response).toEqual(["early", "second", "bye"]);
  });

  const outer = app.workflow("outer", async (ctx, _: string) => ctx.step(chat, ctx.idempotencyKey));

  it("reach a nested workflow by its parent", async () => {
    const key = randomUUID();
    const started = atomic.start(outer.at(url()), key, { key });
    const parent = await until(async () => {
      const [run] = await atomic.runs({ keyPrefix: key });
      return (
        run && (await atomic.get(run.runId)).steps.find(({ stepInvokeUrl }) => stepInvokeUrl?.endsWith("chat"))?.id
      );
    });
    await atomic.signal({ parent, name: "message" }, "bye");
    expect((await started).response).toEqual(["bye"]);
  });
});

describe("a callback", () => {
  const submit = app.step("submit", async ({ to, price }: { to: string; price: number }, call) => {
    note(call.runId, to);
    if (price < 0) {
      await post(`${to}/reject`, { detail: "a negative price" });
    } else if (price > 0) {
      await post(to, { paid: price });
    }
    return null;
  });
  const plain = app.step("plain", async (to: string) => post(to, "plain"));

  const paying = app.workflow("paying", async (ctx, price: number) => {
    try {
      const paid = await ctx.callback<{ paid: number }, string>("paid", (to) => ctx.step(submit, { to, price }), {
        deadline: price === 0 ? 300 : "20s",
        default: "too late",
      });
      expectTypeOf(paid).toEqualTypeOf<{ paid: number } | string>();
      return paid;
    } catch (error) {
      return error instanceof StepFailedError ? error.code : String(error);
    }
  });

  it("hands its URL to a step once, and waits for what comes to it", async () => {
    const outcome = await atomic.start(paying.at(url()), 42, { key: randomUUID() });
    expect(outcome.response).toEqual({ paid: 42 });
    expect(notes.get(outcome.runId)?.length).toBe(1);
    expect(outcome.attempts).toBeGreaterThan(1);
  });

  it("expires with its default, and may be rejected", async () => {
    expect((await atomic.start(paying.at(url()), 0, { key: randomUUID() })).response).toBe("too late");
    expect((await atomic.start(paying.at(url()), -1, { key: randomUUID() })).response).toBe("event-rejected");
  });

  const two = app.workflow("two", async (ctx, _: null) => {
    const [one, other] = await Promise.all([ctx.callback("first", plain), ctx.callback("second", "plain")]);
    return [one, other, await ctx.callback("first", plain, { capture: ["content-type"] })];
  });

  it("takes a step that gets the URL, side by side, and captures what was sent", async () => {
    const outcome = await atomic.start(two.at(url()), null, { key: randomUUID() });
    expect(outcome.response).toMatchObject(["plain", "plain", { headers: {}, body: '"plain"' }]);
  });
});
