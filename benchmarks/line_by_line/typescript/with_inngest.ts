import { Inngest } from "inngest";
import { serve } from "inngest/next";
import { insert, send, track } from "./effects.ts";

const client = new Inngest({ id: "users" });

const options = { id: "create", retries: 10, triggers: { event: "users/create" } } as const;
const create = client.createFunction(options, async ({ event, step }) => {
  const user = await step.run("insert", insert, event.data.name);
  const [mail] = await Promise.all([step.run("send", send, user), step.run("track", track, user)]);
  return { user, mail };
});

export const { GET, POST, PUT } = serve({ client, functions: [create] });
