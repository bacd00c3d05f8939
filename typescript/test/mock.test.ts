import { describe, expect, expectTypeOf, it } from "vitest";
import * as z from "zod";
import { type Call, type Duration, endpoints, NonRetryable, StepFailedError } from "../src/index.ts";
import { lastScheduledAt, scheduledAt } from "../src/schedules.ts";
import { answer, DifferentReplayError, delayed, MockError, type MockedRun, mockRun } from "../src/testing.ts";

const NOW = new Date("2026-01-01T00:00:00Z");
const app = endpoints();
const insert = app.step("insert", (name: string) => ({ id: 1, name, since: new Date() }));
const mail = app.step("mail", (user: { name: string }) => `to ${user.name}`);
const double = app.step("double", (value: number) => 2 * value);

const create = app.workflow("create", async (ctx, name: string) => {
  const user = await ctx.step(insert, name);
  const [greeting, at] = await Promise.all([ctx.step(mail, user), ctx.now()]);
  await ctx.sleep("3d");
  return { id: user.id, greeting, at, later: await ctx.now() };
});

const steps = {
  ...answer(insert, (name) => ({ id: 7, name, since: NOW })),
  mail: ({ name }: { name: string }) => `Hello, ${name}`,
};

describe("mockRun", () => {
  it("runs a workflow on answers of the test, in no time", async () => {
    const run = await mockRun(create, { payload: "ada", steps, now: NOW });
    expectTypeOf(run).toEqualTypeOf<MockedRun<{ id: number; greeting: string; at: string; later: string }>>();
    expect(run.result).toEqual({
      id: 7,
      greeting: "Hello, ada",
      at: "2026-01-01T00:00:00.000Z",
      later: "2026-01-04T00:00:00.000Z",
    });
    expect(run.error).toBeUndefined();
    expect(run.calls.map(({ kind, name }) => `${kind} ${name}`)).toEqual([
      "step insert",
      "step mail",
      "value now",
      "sleep sleep",
      "value now",
    ]);
    expect(run.calls[1]).toMatchObject({
      payload: { id: 7, name: "ada", since: "2026-01-01T00:00:00.000Z" },
      result: "Hello, ada",
      status: "succeeded",
      at: NOW,
    });
    expect(run.now).toEqual(new Date("2026-01-04T00:00:00Z"));
  });

  it("starts steps at their times", async () => {
    const timed = app.workflow("timed", async (ctx) => {
      await ctx.step("double", 1, { startAt: new Date("2026-01-03T00:00:00Z") });
      // It is over.
      await ctx.step("double", 2, { startAt: new Date("2026-01-02T00:00:00Z"), key: "2" });
      return ctx.now();
    });
    const run = await mockRun(timed, { payload: null, steps: { double: 2 }, now: NOW });
    expect(run.result).toBe("2026-01-03T00:00:00.000Z");
  });

  it("sleeps until a moment that the first attempt decides", async () => {
    let days = 0;
    const night = app.workflow("night", async (ctx) => {
      days++;
      await ctx.sleep(new Date(NOW.getTime() + days * 86_400_000), "night");
      await ctx.sleep(new Date(0));
      return ctx.now();
    });
    const run = await mockRun(night, { payload: null, now: NOW });
    expect(new Date(run.result ?? "").getTime() - NOW.getTime()).toBe(86_400_000);
    expect(run.calls.map(({ kind, name }) => `${kind} ${name}`)).toEqual(["sleep night", "sleep sleep", "value now"]);
  });

  it("fails what begins too late, and starts runs at their times", async () => {
    const past = new Date(NOW.getTime() - 1);
    const soon = new Date(NOW.getTime() + 60_000);
    const late = app.workflow("late", async (ctx) => {
      const said: unknown[] = [];
      for (const options of [
        { startBy: past },
        { delay: "2m", startBy: soon },
        { delay: "2m", startBy: "1m" },
      ] as const) {
        const call = ctx.step("double", 1, { ...options, key: `${said.length}` });
        said.push(await call.catch((error: StepFailedError) => [error.code, error.failure.attempts]));
      }
      const run = ctx.runWorkflow("other", null, { workflowName: "other", startBy: past });
      said.push(await run.catch((error: StepFailedError) => error.code));
      await ctx.runWorkflow("other", null, { workflowName: "other", startAt: new Date("2026-02-01T00:00:00Z") });
      return [...said, await ctx.now()];
    });
    const run = await mockRun(late, { payload: null, steps: { double: 2, other: 3 }, now: NOW });
    const expired = ["start-expired", 0];
    expect(run.error).toBeUndefined();
    expect(run.result).toEqual([expired, expired, 2, "run-failed", "2026-02-01T00:00:00.000Z"]);
  });

  it("tells a workflow the times of its schedule, and its steps none", async () => {
    const times = app.workflow("times", async (ctx) => [
      scheduledAt(ctx),
      lastScheduledAt(ctx) ?? null,
      await ctx.step("told", null),
    ]);
    const steps = { told: (_: null, call: Call) => `${scheduledAt(call)}` };
    const run = await mockRun(times, { payload: null, steps, scheduledAt: NOW });
    expect(run.result).toEqual([NOW.toISOString(), null, "undefined"]);
  });

  it("replays at each step, unless it is told not to", async () => {
    const attempts = async (alwaysReplay: boolean): Promise<number> =>
      (await mockRun(create, { payload: "ada", steps, alwaysReplay })).attempts;
    expect([await attempts(true), await attempts(false)]).toEqual([4, 2]);
  });

  it("has types that follow the functions", async () => {
    // @ts-expect-error: a name is a text
    const run = mockRun(create, { payload: 7, steps });
    // @ts-expect-error: an id is a number
    answer(insert, { id: "seven", name: "ada", since: NOW });
    await run;
  });

  const careful = app.workflow("careful", async (ctx, _: null) => {
    try {
      return await ctx.step(mail, { name: "ada" }, { retry: 3 });
    } catch (error) {
      if (!(error instanceof StepFailedError)) throw error;
      return [error.code, error.failure.lastErrorType, error.failure.lastError, error.failure.lastStatus];
    }
  });

  it("fails a step whose answer throws, at once", async () => {
    let count = 0;
    const refuse = (): never => {
      count++;
      throw new TypeError("no card");
    };
    const run = await mockRun(careful, { payload: null, steps: { mail: refuse } });
    expect(run.result).toEqual(["step-failed", "TypeError", "TypeError: no card", 500]);
    expect(run.calls).toMatchObject([{ status: "failed", error: "TypeError: no card" }]);
    expect(count).toBe(1);
  });

  it("tells what the workflow throws", async () => {
    const failing = app.workflow("failing", async () => {
      throw new NonRetryable("never");
    });
    const { result, error } = await mockRun(failing, { payload: null });
    expect(result).toBeUndefined();
    expect(error).toEqual(new NonRetryable("never"));
  });

  const approval = app.workflow("approval", async (ctx, _: null) => {
    const first = await ctx.event<string>("answer", { deadline: "1d" }).catch((error: StepFailedError) => error.code);
    const second = await ctx.event("answer", { deadline: "2d", default: "nobody" });
    const third = await ctx.callback("called", async (url) => ctx.step("mail", { url: url.slice(0, 28) }));
    return [first, second, third];
  });

  it("gives events their results, rejects them, and lets them expire", async () => {
    const given = { events: { answer: (number: number) => `answer ${number}`, called: "back" }, steps: { mail: null } };
    const run = await mockRun(approval, { payload: null, ...given });
    expect(run.result).toEqual(["answer 1", "answer 2", "back"]);
    expect(run.calls.find(({ name }) => name === "mail")?.payload).toEqual({ url: "http://mock.invalid/callback" });
    const late = await mockRun(approval, { payload: null, ...given, events: { called: 1 }, now: NOW });
    expect(late.result).toEqual(["event-expired", "nobody", 1]);
    expect(late.now).toEqual(new Date("2026-01-04T00:00:00Z"));
    const reject = (number: number): string => {
      if (number === 1) throw new Error("not approved");
      return "then";
    };
    const rejected = await mockRun(approval, { payload: null, ...given, events: { answer: reject, called: 1 } });
    expect(rejected.result).toEqual(["event-rejected", "then", 1]);
  });

  it("rejects an event with the text that was thrown, as a person would", async () => {
    const asking = app.workflow("asking", async (ctx, _: null) =>
      ctx.event("answer").catch(({ failure }: StepFailedError) => [failure.response, failure.lastError]),
    );
    const reject = (): never => {
      throw new Error("too dear");
    };
    const { result } = await mockRun(asking, { payload: null, events: { answer: reject } });
    expect(result).toEqual([{ detail: "too dear" }, "the event was rejected: too dear"]);
  });

  const reminded = app.workflow("reminded", async (ctx, deadline: Duration) => {
    const ends: string[] = [];
    const answer = ctx.event("approval", { deadline, default: null }).then((given) => {
      ends.push(`answer ${given}`);
      return { given };
    });
    for (let day = 1; day <= 2; day++) {
      const first = await Promise.race([answer, ctx.sleep("1d").then(() => ends.push(`day ${day}`))]);
      if (typeof first === "object") break;
    }
    await answer;
    return ends;
  });

  it("ends an event that expires in its order among sleeps", async () => {
    const { result } = await mockRun(reminded, { payload: "36h" });
    expect(result).toEqual(["day 1", "answer null"]);
  });

  it("tells a sleep from an event that gives null, in replays as well", async () => {
    const told: unknown[] = [];
    const waiting = app.workflow("null", async (ctx, _: null) => {
      const answer = ctx.event<string, null>("approval", { deadline: "36h", default: null });
      const first = await Promise.race([answer, ctx.sleep("1d")]);
      expectTypeOf(first).toEqualTypeOf<string | null | undefined>();
      told.push(first);
      return [await answer, await ctx.run("nothing", () => undefined)];
    });
    const { result } = await mockRun(waiting, { payload: null });
    expect(result).toEqual([null, null]);
    expect(told.length).toBeGreaterThan(1);
    expect([...new Set(told)]).toEqual([undefined]);
  });

  it("gives an event when the test says", async () => {
    const answers = async (approval: unknown, deadline: Duration = "10d"): Promise<unknown> => {
      const run = await mockRun(reminded, { payload: deadline, events: { approval }, now: NOW });
      return [run.result, run.now.getTime() - NOW.getTime()];
    };
    const hour = 3_600_000;
    expect(await answers("at once")).toEqual([["answer at once"], 0]);
    expect(await answers(delayed("30h", "yes"))).toEqual([["day 1", "answer yes"], 30 * hour]);
    expect(await answers((number: number) => delayed({ days: number }, number))).toEqual([["answer 1"], 24 * hour]);
    expect(await answers(delayed("30h", (number: number) => `number ${number}`))).toEqual([
      ["day 1", "answer number 1"],
      30 * hour,
    ]);
    expect(await answers(delayed("30h", "too late"), "20h")).toEqual([["answer null"], 20 * hour]);
    expect(() => delayed("soon" as never, 1)).toThrow('delayed: "soon" is no duration');
    expect(() => delayed(Number.NaN, 1)).toThrow("delayed: NaN is no duration");
  });

  const chat = app.workflow("chat", async (ctx, _: null) => {
    const texts: string[] = [];
    for await (const text of ctx.events<string>("message", { deadline: "1h" })) texts.push(text);
    return texts;
  });

  it("sends as many messages as the test says", async () => {
    const message = (number: number): string | undefined => ["hello", "bye"][number - 1];
    const { result, now } = await mockRun(chat, { payload: null, events: { message }, now: NOW });
    expect(result).toEqual(["hello", "bye"]);
    expect(now).toEqual(new Date("2026-01-01T01:00:00Z"));
    const forever = app.workflow("forever", async (ctx, _: null) => ctx.event("message"));
    await expect(mockRun(forever, { payload: null, events: { message: () => undefined } })).rejects.toThrow(
      "'message'",
    );
  });

  it("checks the payload by its schema", async () => {
    const counted = app.workflow("counted", { input: z.object({ count: z.number() }) }, async (_, { count }) => count);
    expect((await mockRun(counted, { payload: { count: 2 } })).result).toBe(2);
    const { error } = await mockRun(counted, { payload: { count: "two" as never } });
    expect(error).toMatchObject({ message: expect.stringContaining("count") });
  });

  it("takes values from the test, and does not compute them", async () => {
    const dice = app.workflow("dice", async (ctx, _: null) => [
      await ctx.run("dice", (): number => {
        throw new Error("computed");
      }),
      await ctx.uuid(),
      (await ctx.parallel({ a: (own) => own.random() })).results(),
    ]);
    let number = 0.5;
    const values = { dice: 4, uuid: "00000000-0000-4000-8000-000000000000", random: () => number++ };
    const { result } = await mockRun(dice, { payload: null, values });
    expect(result).toEqual([4, "00000000-0000-4000-8000-000000000000", [0.5]]);
  });

  it("runs batches, races, conditions, sagas and child runs", async () => {
    const all = app.workflow("all", async (ctx, values: number[]) => {
      const batch = await ctx.map(values, double, { concurrency: 2, minSuccessful: 2 });
      const { name } = await ctx.race({ quick: (own) => own.sleep("1h"), slow: (own) => own.sleep("1d") });
      const found = await ctx.until(double, { every: "1h", payload: 2 });
      const undone = await ctx
        .saga(async (saga) => {
          await saga.step(double, 5, { undo: mail as never, undoPayload: { name: "undo" } as never });
          throw new Error("no");
        })
        .catch((error: Error) => error.message);
      const child = await ctx.runWorkflow(create, "bob");
      return [batch.results(), name, found, undone, child, await ctx.version("new", 3)];
    });
    let checks = 0;
    const given = {
      ...answer(double, (value) => (value === 2 && checks++ < 2 ? 0 : 2 * value)),
      mail: "undone",
      create: { id: 9 },
    };
    const run = await mockRun(all, { payload: [1, 3, 4], steps: given, now: NOW });
    expect(run.error).toBeUndefined();
    expect(run.result).toEqual([[2, 6], "quick", 4, "no", { id: 9 }, 3]);
    expect(run.now).toEqual(new Date(NOW.getTime() + 3 * 3_600_000));
    expect(run.calls.filter(({ kind }) => kind === "run")).toMatchObject([{ name: "create", payload: "bob" }]);
  });

  it("tells the payload of the next run", async () => {
    const next = app.workflow("next", async (ctx, count: number) => {
      await ctx.sleep("1d");
      return ctx.continueAs(count + 1);
    });
    const run = await mockRun(next, { payload: 1 });
    expect([run.result, run.error, run.continuedAs]).toEqual([undefined, undefined, { payload: 2 }]);
  });
});

describe("a workflow that is not deterministic", () => {
  let count = 0;
  const drifting = app.workflow("drifting", async (ctx, how: "payload" | "name" | "less" | "random") => {
    count++;
    if (how === "payload") await ctx.step(double, count);
    if (how === "name") await ctx.sleep(1, `nap ${count}`);
    if (how === "less" && count % 2 === 1) await ctx.sleep(1, "odd");
    if (how === "random") await ctx.step(double, Math.random());
    await ctx.step(double, 1, { name: "last" });
  });

  it.each(["payload", "name", "less", "random"] as const)("is refused: %s", async (how) => {
    count = 0;
    const run = mockRun(drifting, { payload: how, steps: { double: 1 } });
    await expect(run).rejects.toThrow(DifferentReplayError);
    await expect(run).rejects.toThrow(/in its replay, attempt 2.*ctx\.now\(\).*Before:\n {2}\w+/s);
  });
});

describe("a test that is wrong", () => {
  it("is told which answer is missing", async () => {
    await expect(mockRun(create, { payload: "ada" })).rejects.toThrow(
      "The workflow calls 'insert', and the test has no answer: give it in `steps`.",
    );
    const swallowing = app.workflow("swallowing", async (ctx, _: null) => ctx.step(mail, { name: "" }).catch(() => 1));
    await expect(mockRun(swallowing, { payload: null })).rejects.toThrow("'mail'");
  });

  it("is told which answer JSON cannot carry", async () => {
    const run = mockRun(create, { payload: "ada", steps: { insert: 1n << 80n } });
    await expect(run).rejects.toThrow("The answer to 'insert' cannot be stored");
  });

  it("is told which time is none", async () => {
    const never = app.workflow("never", (ctx) => ctx.sleep(new Date(Number.NaN)));
    await expect(mockRun(never, { payload: null })).rejects.toThrow("startAt: an invalid Date is no time");
  });

  it("is told which event never comes", async () => {
    const waiting = app.workflow("waiting", async (ctx, _: null) => ctx.event("approval"));
    await expect(mockRun(waiting, { payload: null })).rejects.toThrow("'approval', which nobody sends");
  });

  it("is told that a step is a function", async () => {
    await expect(mockRun(insert, { payload: "ada" })).rejects.toThrow(MockError);
  });
});
