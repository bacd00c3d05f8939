import { endpoints } from "atomic-workflows";
import { next } from "atomic-workflows/next";
import { insert, send, track } from "./effects.ts";

const retry = { retry: 10 };
const users = endpoints();
const inserted = users.step("insert", insert);
const sent = users.step("send", send);
const tracked = users.step("track", track);

users.workflow("create", async (ctx, name: string) => {
  const user = await ctx.step(inserted, name, retry);
  const [mail] = await Promise.all([ctx.step(sent, user, retry), ctx.step(tracked, user, retry)]);
  return { user, mail };
});

export const { POST } = next(users);
