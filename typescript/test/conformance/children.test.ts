/**
 * Children (3-1 to 3-18): workflows that a workflow calls as a step, each with a record of its own, and branches, which
 * keep only their steps.
 */

import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, expect } from "vitest";
import type { Branch, Call, Context, StepFailedError } from "../../src/index.ts";
import { node } from "../../src/node.ts";
import { covers, dying, FAST, Stage, Wrapped } from "./stage.ts";

const stage = new Stage("ts-case-children");
const { app } = stage;

/** A child as a branch of its own. */
async function branch<Result>(ctx: Context, name: string, work: Branch<Result>): Promise<Result> {
  const [result] = (await ctx.parallel({ [name]: work })).results();
  return result as Result;
}

const same = app.step("same", (text: string) => text);
const note = app.step("note", (text: string) => stage.note(text));

{
  const inner = app.workflow("inner", async (ctx, text: string) => ctx.step(same, `${text}3`));
  const steps = async (ctx: Context, text: string): Promise<string> => {
    const first = await ctx.step(same, `${text}1`);
    return ctx.step(inner, await ctx.step(same, `${first}2`));
  };
  const child = app.workflow("child", steps);
  const nothing = app.workflow("nothing", async (_, __: null) => undefined);
  const flow = app.workflow("children", async (ctx, text: string) => [
    await ctx.step(child, text, { name: `child of ${text}` }),
    await branch(ctx, "branch", (own) => steps(own, text)),
    await branch(ctx, "nothing", async () => null),
    await ctx.step(nothing, null),
  ]);

  covers("a child has the result of its steps", async () => {
    const run = await stage.begin(flow, "in");
    expect(await stage.end(run)).toEqual(["in123", "in123", null, null]);
    const found = (await stage.look(run)).steps;
    const named = found.find(({ stepName }) => stepName === "child of in");
    const below = found.filter(({ parent }) => parent === named?.id).map(({ response }) => response);
    expect(below).toEqual(["in1", "in12", "in123"]);
  });
}

{
  const mixing = async (ctx: Context, text: string): Promise<string> => {
    const found = await ctx.step(note, text);
    await ctx.sleep(150);
    return found;
  };
  const waiting = async (ctx: Context, text: string): Promise<string> => {
    await ctx.sleep(150);
    return text;
  };
  const mixed = app.workflow("mixed", mixing);
  const waits = app.workflow("waits", waiting);
  const plain = app.workflow("plain", async (_, text: string) => stage.note(text));
  const steps = app.workflow("in-steps", async (ctx, text: string) => {
    const found = [await ctx.step(mixed, "inside a step"), await ctx.step(waits, text), await ctx.step(plain, "step")];
    found.push(await ctx.step(note, "after steps"));
    await ctx.sleep(150);
    return found;
  });
  const branches = app.workflow("in-branches", async (ctx, text: string) => {
    const inside = await branch(ctx, "mixed", (own) => mixing(own, "inside a branch"));
    const awake = await branch(ctx, "waits", (own) => waiting(own, text));
    const value = await ctx.run("plain", () => stage.note("value"));
    const after = await ctx.step(note, "after branches");
    await ctx.sleep(150);
    return [inside, awake, value, after];
  });

  covers("a child goes on after its waits", async () => {
    const runs = [await stage.begin(steps, "in"), await stage.begin(branches, "in")] as const;
    expect(await stage.end(runs[0])).toEqual(["inside a step", "in", "step", "after steps"]);
    expect(await stage.end(runs[1])).toEqual(["inside a branch", "in", "value", "after branches"]);
    const once = ["inside a step", "step", "after steps", "inside a branch", "value", "after branches"];
    expect([...stage.noted].sort()).toEqual(once.sort());
    for (const run of runs) expect((await stage.look(run)).root.attempts).toBeGreaterThan(1);
  });
}

{
  type How = "never" | "always" | "own";
  const fail = app.step("fail", (how: How): never => {
    stage.note(`failed ${how}`);
    throw new RangeError("no luck");
  });
  const failing = async (ctx: Context, how: How): Promise<never> => {
    if (how === "own") throw new TypeError("no step at all");
    return ctx.step(fail, how, { retry: how === "never" ? 0 : FAST });
  };
  const child = app.workflow("failing", failing);
  const asStep = app.workflow("as-step", async (ctx, how: How) => ctx.step(child, how, { retry: 0 }));
  const asBranch = app.workflow("as-branch", async (ctx, how: How) =>
    branch(ctx, "branch", (own) => failing(own, how)),
  );
  const caught = app.workflow("caught", async (ctx, _: null) => {
    const told: unknown[] = [];
    for (const how of ["never", "own", "always"] as const) {
      await ctx.step(child, how, { retry: 0 }).catch((error: StepFailedError) => told.push(error.message));
    }
    await branch(ctx, "branch", (own) => failing(own, "never")).catch((error: StepFailedError) => {
      told.push(error.failure.lastErrorType);
    });
    return [...told, await ctx.step(same, "recovered")];
  });

  covers("a child fails with its step", async () => {
    const reasons = { never: "no luck", own: "no step at all", always: "no luck" };
    for (const [how, why] of Object.entries(reasons)) {
      for (const flow of [asStep, asBranch]) {
        expect((await stage.failure(await stage.begin(flow, how as How))).message).toContain(why);
      }
    }
    expect([stage.count("failed always"), stage.count("failed never")]).toEqual([8, 2]);
    expect(await stage.result(caught, null)).toEqual([
      expect.stringContaining("RangeError: no luck"),
      expect.stringContaining("TypeError: no step at all"),
      expect.stringContaining("RangeError: no luck"),
      "RangeError",
      "recovered",
    ]);
  });
}

{
  const second = app.step("second", (text: string, call: Call) => {
    if (call.attempt === 1) throw new TypeError("not yet");
    return text;
  });
  const retrying = async (ctx: Context, text: string): Promise<string> => ctx.step(second, text, { retry: FAST });
  const child = app.workflow("retrying", retrying);
  const flow = app.workflow("retries", async (ctx, text: string) => [
    await ctx.step(child, text),
    await branch(ctx, "branch", (own) => retrying(own, text)),
  ]);

  covers("a child retries its step", async () => {
    const run = await stage.begin(flow, "in");
    expect(await stage.end(run)).toEqual(["in", "in"]);
    const tried = (await stage.look(run)).steps.filter(({ stepInvokeUrl }) => stepInvokeUrl?.endsWith("/second"));
    expect(tried.map(({ attempts }) => attempts)).toEqual([2, 2]);
  });
}

{
  let built = 0;
  const flow = app.workflow("large", async (ctx, letter: string) => {
    const large = await branch(ctx, "large", async (own) => {
      const small = await own.step(note, letter);
      built++;
      return small.repeat(300_000);
    });
    await ctx.sleep(200);
    return large.length;
  });

  covers("a child has a result of any size", async () => {
    expect(await stage.result(flow, "a")).toBe(300_000);
    expect(stage.count("a")).toBe(1);
    expect(built).toBeGreaterThan(1);
  });
}

{
  let died = 0;
  const child = app.workflow("mortal", async (ctx, url: string) => ctx.step(url, "in", { retry: FAST }));
  const flow = app.workflow("of-mortal", async (ctx, { mortal, url }: { mortal: string; url: string }) =>
    ctx.step(mortal, url, { retry: { count: 1, backOff: 20 } }),
  );

  covers("a child goes on where its process died", async () => {
    const answer = node(app);
    const server = createServer(async (request, response) => {
      // The first process of the child has done its work when it dies, and before it has answered.
      if (died === 0) {
        response.writeHead = (): never => {
          died++;
          request.socket.destroy();
          throw new Error("this process is dead");
        };
      }
      await answer(request, response).catch(() => undefined);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    afterAll(() => void server.close());
    const { url, calls } = await dying();
    const mortal = `http://127.0.0.1:${(server.address() as AddressInfo).port}/${child.name}`;
    expect(await stage.result(flow, { mortal, url })).toBe("alive");
    expect([calls(), died]).toEqual([2, 1]);
  });
}

{
  const child = app.workflow("wrapped", async (ctx, text: string) => new Wrapped(await ctx.step(same, text)));
  const flow = app.workflow("wraps", async (ctx, text: string) => {
    const whole = await ctx.step(child, text);
    await ctx.sleep(50);
    return Wrapped.read(whole);
  });

  covers("a child has a form of its own", async () => {
    const run = await stage.begin(flow, "hello child");
    expect(await stage.end(run)).toBe("hello child");
    expect((await stage.look(run)).steps[0]?.response).toEqual({ wrapped: "hello child" });
  });
}
