/** Standard Schema, by the libraries that have it. */

import { randomUUID } from "node:crypto";
import { type } from "arktype";
import * as v from "valibot";
import { describe, expect, expectTypeOf, it, vi } from "vitest";
import * as z from "zod";
import { type Schema, StepFailedError, type WorkflowReference } from "../src/index.ts";
import { application } from "./app.ts";
import { ENVELOPE } from "./signing.ts";

const { app, atomic, url, counted, count } = application("ts-schemas");

interface User {
  name: string;
  age: number;
}

const libraries: [string, Schema<User>, string][] = [
  ["zod", z.object({ name: z.string(), age: z.number().min(18) }), "age: "],
  ["valibot", v.object({ name: v.string(), age: v.pipe(v.number(), v.minValue(18)) }), "age: "],
  ["arktype", type({ name: "string", age: "number >= 18" }), "age: "],
  ["valibotAsync", v.objectAsync({ name: v.string(), age: v.pipeAsync(v.number(), v.checkAsync(isAdult)) }), "age: "],
];

async function isAdult(age: number): Promise<boolean> {
  await new Promise((resolve) => setTimeout(resolve, 1));
  return age >= 18;
}

describe.each(libraries)("a schema of %s", (name, schema, said) => {
  const step = app.step(`${name}-in`, { input: schema }, (user) => {
    counted(name);
    return user.name;
  });
  const given = app.step(`${name}-out`, { output: schema }, (age: number) => ({ name: "ada", age, secret: 1 }));
  const workflow = app.workflow(`${name}-both`, { input: schema, output: schema }, async (ctx, user) => ({
    name: await ctx.step(step, user),
    age: user.age - 1,
  }));

  it("lets pass what fits", async () => {
    expectTypeOf(workflow.at("")).toEqualTypeOf<WorkflowReference<User, User>>();
    const outcome = await atomic.start(workflow.at(url()), { name: "ada", age: 19 }, { key: randomUUID() });
    expect(outcome.response).toEqual({ name: "ada", age: 18 });
  });

  it("refuses a payload at once, and calls no function", async () => {
    const before = count(name);
    const failed = await failure(step.at(url()), { name: "ada", age: 17 });
    expect(failed.lastStatus).toBe(400);
    expect(failed.lastError).toMatch(`The payload does not fit: ${said}`);
    expect([failed.attempts, count(name)]).toEqual([1, before]);
    expect((await failure(workflow.at(url()), 7)).lastError).toMatch("The payload does not fit: ");
  });

  it("refuses a result at once", async () => {
    const failed = await failure(given.at(url()), 17);
    expect([failed.attempts, failed.lastStatus]).toEqual([1, 500]);
    expect(failed.lastError).toMatch(`The result does not fit: ${said}`);
    const late = await failure(workflow.at(url()), { name: "ada", age: 18 });
    expect(late.lastError).toMatch(`The result does not fit: ${said}`);
  });
});

async function failure(
  workflow: { workflowName: string; url: string },
  payload: unknown,
): Promise<StepFailedError["failure"]> {
  const outcome = atomic.start(workflow, payload, { key: randomUUID(), retry: { count: 5, backOff: 1 } });
  const error = await outcome.catch((reason) => reason);
  expect(error).toBeInstanceOf(StepFailedError);
  return (error as StepFailedError).failure;
}

describe("types and values", () => {
  it("are those of the schema on each side", async () => {
    const Length = z.string().transform((text) => text.length);
    const Answer = z.object({ when: z.date() }).transform(({ when }) => ({ year: when.getUTCFullYear(), tags: ["a"] }));
    const step = app.step("transformed", { input: Length, output: Answer }, (length) => {
      expectTypeOf(length).toEqualTypeOf<number>();
      return { when: new Date(Date.UTC(2000 + length)) };
    });
    const workflow = app.workflow("transforms", async (ctx, text: string) => {
      // @ts-expect-error - the payload is a text
      void (() => ctx.step(step, 5));
      const answer = await ctx.step(step, text);
      expectTypeOf(answer).toEqualTypeOf<{ year: number; tags: string[] }>();
      return answer;
    });
    const outcome = await atomic.start(workflow.at(url()), "seven", { key: randomUUID() });
    expect(outcome.response).toEqual({ year: 2005, tags: ["a"] });
    // @ts-expect-error - the result has no `when`
    void (() => app.step("wrong", { output: Answer }, () => ({ since: new Date() })));
  });

  it("name five misfits with their paths, and the whole where there is no path", async () => {
    const many = app.step("many", { input: z.object({ list: z.array(z.number()) }) }, () => 1);
    const { response } = await failure(many.at(url()), { list: ["a", "b", "c", "d", "e", "f"] });
    expect((response as { detail: string }).detail.match(/list\.\d/g)).toEqual([
      "list.0",
      "list.1",
      "list.2",
      "list.3",
      "list.4",
    ]);
    const whole = app.step("whole", { input: z.string() }, () => 1);
    expect((await failure(whole.at(url()), 1)).lastError).toMatch("The payload does not fit: Invalid input");
  });

  it("leave a schema that throws to the retries", async () => {
    const logged = vi.spyOn(console, "error").mockReturnValue();
    const broken = z.string().refine(() => {
      throw new RangeError("no database");
    });
    app.step("broken", { input: broken }, () => 1);
    const body = JSON.stringify({ ...ENVELOPE, payload: "a" });
    const response = await app.fetch(new Request(`${url()}/broken`, { method: "POST", body }));
    expect([response.status, response.headers.get("atomic-no-retry")]).toEqual([500, null]);
    logged.mockRestore();
  });
});
