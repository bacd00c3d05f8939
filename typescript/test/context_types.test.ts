import { expect, expectTypeOf, it } from "vitest";
import { type Context, endpoints, type OpenedEvent, type RunHandle, type SagaFailedError } from "../src/index.ts";

const app = endpoints();
const book = app.step("book", (_: { city: string; nights: number }) => ({ at: new Date(), room: 1 }));
const cancelCity = app.step("cancelCity", (_: { city: string }) => null);
const cancelRoom = app.step("cancelRoom", (_: number) => null);
const silent = app.step("silent", (_: null) => {});
const child = app.workflow("child", async (_, customer: string) => ({ customer, since: new Date() }));

/** It is checked, and never called. */
async function uses(ctx: Context): Promise<void> {
  const stay = { city: "Ur", nights: 2 };
  const result = await ctx.saga(async (saga) => {
    const booked = await saga.step(book, stay, { undo: cancelCity });
    expectTypeOf(booked).toEqualTypeOf<{ at: string; room: number }>();
    await saga.step(book, stay, { undo: cancelRoom, undoPayload: 1, retry: 3 });
    await saga.step(book, stay, { undo: "cancel" });
    await saga.step(book, stay, { undo: () => ctx.step(cancelRoom, booked.room) });
    // @ts-expect-error the undo takes a number, and gets the payload of the step
    await saga.step(book, stay, { undo: cancelRoom });
    // @ts-expect-error the payload of an undo is what the undo takes
    await saga.step(book, stay, { undo: cancelRoom, undoPayload: "one" });
    // @ts-expect-error a call of a saga has an undo
    await saga.step(book, stay, {});
    saga.undo(cancelRoom, 1);
    // @ts-expect-error the undo takes a number
    saga.undo(cancelRoom, "one");
    const value = await saga.run("value", () => ({ since: new Date() }), { undo: cancelRoom, undoPayload: 1 });
    expectTypeOf(value).toEqualTypeOf<{ since: string }>();
    return booked.room;
  });
  expectTypeOf(result).toEqualTypeOf<number>();

  expectTypeOf(await ctx.runWorkflow(child, "ada")).toEqualTypeOf<{ customer: string; since: string }>();
  expectTypeOf(await ctx.runWorkflow(child.at("https://a.test"), "ada")).toEqualTypeOf<{
    customer: string;
    since: string;
  }>();
  expectTypeOf(await ctx.startRun(child, "ada")).toEqualTypeOf<RunHandle<{ customer: string; since: string }>>();
  // @ts-expect-error the workflow takes a text
  await ctx.startRun(child, 1);
  // @ts-expect-error a URL says nothing of the name of its runs
  await ctx.startRun("child", 1);
  // @ts-expect-error nothing waits for a detached run
  await ctx.runWorkflow(child, "ada", { detached: true });
  expectTypeOf(ctx.continueAs(1)).toEqualTypeOf<Promise<never>>();

  expectTypeOf(await ctx.openEvent("e", { capture: ["x-signature"] })).toEqualTypeOf<OpenedEvent>();
  expectTypeOf(await ctx.event<number>("e")).toEqualTypeOf<number>();
  expectTypeOf(await ctx.event("e")).toEqualTypeOf<unknown>();
  expectTypeOf(await ctx.event<number, null>("e", { deadline: "1d", default: null })).toEqualTypeOf<number | null>();
  expectTypeOf(ctx.events<string>("e")).toEqualTypeOf<AsyncIterableIterator<string>>();
  expectTypeOf(await ctx.version("v", 1)).toEqualTypeOf<number>();
  expectTypeOf(await ctx.sleep("1d")).toEqualTypeOf<undefined>();
  expectTypeOf(await ctx.step(silent, null)).toEqualTypeOf<null>();
  expectTypeOf(await ctx.run("nothing", () => undefined)).toEqualTypeOf<null>();
  expectTypeOf(await ctx.run("nothing", () => {})).toEqualTypeOf<null>();
  expectTypeOf<SagaFailedError["because"]>().toEqualTypeOf<string>();
}

it("is typed by the functions that it calls", () => {
  expect(uses.length).toBe(1);
});
