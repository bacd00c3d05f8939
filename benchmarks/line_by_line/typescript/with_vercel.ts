import { insert, send, track } from "./effects.ts";

export async function create(name: string) {
  "use workflow";
  const user = await inserted(name);
  const [mail] = await Promise.all([sent(user), tracked(user)]);
  return { user, mail };
}

async function inserted(name: string) {
  "use step";
  return insert(name);
}
inserted.maxRetries = 10;

async function sent(user: Parameters<typeof send>[0]) {
  "use step";
  return send(user);
}
sent.maxRetries = 10;

async function tracked(user: Parameters<typeof track>[0]) {
  "use step";
  return track(user);
}
tracked.maxRetries = 10;
