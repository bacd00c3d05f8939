/** Callbacks that a step passes on (7-1 to 7-15): `ctx.callback`. Somebody posts to their URL. */

import { expect } from "vitest";
import type { Call, CallbackOptions, Context, StepFailedError, StepOutcome } from "../../src/index.ts";
import { covers, pause, Stage, until } from "./stage.ts";

const stage = new Stage("ts-case-submitted");
const { app } = stage;
const urls = new Map<string, string[]>();

const submit = app.step("submit", (url: string, { runId }: Call) => {
  urls.set(runId, [...(urls.get(runId) ?? []), url]);
});
const same = app.step("same", (text: string) => text);

/** Post to the URL that a run has passed on last. */
async function post(run: StepOutcome, result: unknown, { number = 1, what = "" } = {}): Promise<void> {
  const told = (): string[] => urls.get(run.runId) ?? [];
  await until(() => told().length >= number);
  const body = result === null ? {} : { body: JSON.stringify(result) };
  const headers = { "content-type": "application/json" };
  const answer = await fetch(`${told()[number - 1]}${what}`, { method: "POST", headers, ...body });
  expect(answer.status).toBe(200);
}

const plain = app.workflow("plain", async (ctx, options: CallbackOptions) => ctx.callback("answer", submit, options));
const caught = app.workflow("caught", async (ctx, options: CallbackOptions) =>
  ctx.callback("answer", submit, options).catch((error: StepFailedError) => error.code),
);

{
  const waiting = (ctx: Context): Promise<unknown> => ctx.callback("answer", submit);
  const flows = {
    plain: app.workflow("by-name", async (ctx, _: null) => waiting(ctx)),
    fixed: app.workflow("fixed", async (ctx, _: null) => ctx.callback("approval", (url, own) => own.step(submit, url))),
    child: app.workflow("in-child", async (ctx, _: null) => (await ctx.parallel({ wrapper: waiting })).results()[0]),
    mixed: app.workflow("mixed", async (ctx, _: null) => {
      await ctx.sleep(100);
      await ctx.step(same, "data");
      return waiting(ctx);
    }),
    read: app.workflow(
      "read",
      async (ctx, _: null) => (await ctx.callback<{ status: string }>("answer", submit)).status,
    ),
    nothing: app.workflow("nothing", async (ctx, _: null) => waiting(ctx)),
  };

  covers("a step passes a callback on", async () => {
    const given: Record<string, unknown> = { read: { status: "approved" }, nothing: null };
    const expected: Record<string, unknown> = { read: "approved", nothing: null };
    for (const [name, flow] of Object.entries(flows)) {
      const run = await stage.begin(flow, null);
      await post(run, name in given ? given[name] : "done");
      expect(await stage.end(run), name).toEqual(name in expected ? expected[name] : "done");
      expect(await stage.names(run)).toContain(name === "fixed" ? "approval" : "answer");
    }
  });
}

{
  const flow = app.workflow("each", async (ctx, [first, second]: [string, string]) => [
    await ctx.callback(first, submit),
    await ctx.callback(second, submit),
  ]);

  covers("callbacks are passed on one after the other", async () => {
    for (const names of [
      ["first", "second"],
      ["same", "same"],
    ] as [string, string][]) {
      const run = await stage.begin(flow, names);
      await post(run, "one", { number: 1 });
      await post(run, "two", { number: 2 });
      expect(await stage.end(run)).toEqual(["one", "two"]);
    }
  });
}

{
  const fail = app.step("fail", (_: string): never => {
    stage.note("failed");
    throw new RangeError("no way out");
  });
  const notPassedOn = app.workflow("not-passed-on", async (ctx, _: null) =>
    ctx.callback("answer", (url, own) => own.step(fail, url, { retry: { count: 1, backOff: 20, jitter: "none" } })),
  );

  covers("callbacks that were passed on fail", async () => {
    const kindOf = async (run: StepOutcome): Promise<unknown> => {
      const { failure } = await stage.failure(run);
      return (failure.response as { lastErrorKind: string }).lastErrorKind;
    };
    const [refused, refusedCaught] = [await stage.begin(plain, {}), await stage.begin(caught, {})];
    for (const run of [refused, refusedCaught]) await post(run, { detail: "not approved" }, { what: "/reject" });
    expect(await kindOf(refused)).toBe("event_rejected");
    expect(await stage.end(refusedCaught)).toBe("event-rejected");
    expect(await kindOf(await stage.begin(plain, { deadline: 300 }))).toBe("event_expired");
    expect(await stage.result(caught, { deadline: 300 })).toBe("event-expired");
    expect(await kindOf(await stage.begin(plain, { heartbeat: 300 }))).toBe("heartbeat_missed");
    expect((await stage.failure(await stage.begin(notPassedOn, null))).message).toContain("no way out");
    expect(stage.count("failed")).toBe(2);
  });
}

covers("a callback that was passed on lives by heartbeats", async () => {
  const run = await stage.begin(plain, { heartbeat: 1000 });
  for (let beats = 0; beats < 13; beats++) {
    await post(run, null, { what: "/heartbeat" });
    await pause(100);
  }
  await post(run, "at last");
  expect(await stage.end(run)).toBe("at last");
});
