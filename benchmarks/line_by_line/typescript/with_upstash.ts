import { serve } from "@upstash/workflow/nextjs";
import { insert, send, track } from "./effects.ts";

export const { POST } = serve<string>(async (ctx) => {
  const user = await ctx.run("insert", () => insert(ctx.requestPayload));
  const sent = ctx.run("send", () => send(user));
  const [mail] = await Promise.all([sent, ctx.run("track", () => track(user))]);
  return { user, mail };
});
