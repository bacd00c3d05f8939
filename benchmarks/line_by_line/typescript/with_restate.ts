import { endpoint, RestatePromise, type WorkflowContext, workflow } from "@restatedev/restate-sdk/fetch";
import { insert, send, track } from "./effects.ts";

const retry = { maxRetryAttempts: 11 };

async function run(ctx: WorkflowContext, name: string) {
  const user = await ctx.run("insert", () => insert(name), retry);
  const sent = ctx.run("send", () => send(user), retry);
  const [mail] = await RestatePromise.all([sent, ctx.run("track", () => track(user), retry)]);
  return { user, mail };
}

const users = workflow({ name: "users", handlers: { run } });
export const { fetch: POST } = endpoint().bind(users).handler();
