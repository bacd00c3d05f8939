/**
 * User creation with the SDK: what user-creation-plain.ts does, call for call. Each line in a terminal of its own:
 *
 *     npm install atomic-workflows
 *     atomic serve --dev
 *     node user-creation.ts
 *     curl -s http://127.0.0.1:9000/users -H 'Idempotency-Key: ada-1' -d '{"userName": "ada", "email": "ada@example.com"}'
 */

import { createServer } from "node:http";
import { Atomic, endpoints } from "atomic-workflows";
import { node } from "atomic-workflows/node";

interface NewUser {
  userName: string;
  email: string;
}

const port = Number(process.env["PORT"] ?? 9000);
const retry = { count: 10, backOff: "1s" } as const;
const atomic = new Atomic();
const userCreation = endpoints();

const createUser = userCreation.step("createUser", (user: NewUser, call) => saveUserToDB(call.idempotencyKey, user));
const sendEmail = userCreation.step("sendEmail", ({ email }: NewUser) => ({ sentTo: email }));
const sendAnalytics = userCreation.step("sendAnalytics", ({ id }: { id: number }, call) => {
  // The collector does not know the new user at first.
  if (call.attempt <= 3) throw Response.json({ error: `user ${id} is unknown` }, { status: 404 });
  return { counted: id };
});

const workflow = userCreation.workflow("index", async (ctx, payload: NewUser) => {
  const user = await ctx.step(createUser, payload, { retry });
  await Promise.all([ctx.step(sendEmail, user, { retry }), ctx.step(sendAnalytics, user, { retry })]);
  return user;
});

// A stand-in for your database, which does its work once for each key
const users = new Map<string, NewUser & { id: number }>();
function saveUserToDB(key: string, payload: NewUser) {
  const user = users.get(key) ?? { id: users.size + 1, ...payload };
  users.set(key, user);
  return user;
}

const serve = node({
  // Your application API endpoint which creates a user, and beside it what Atomic calls
  fetch: async (request) => {
    const answer = await (new URL(request.url).pathname === "/users" ? createUserEndpoint : userCreation.fetch)(request);
    console.log(request.method, new URL(request.url).pathname, answer.status);
    return answer;
  },
});

async function createUserEndpoint(request: Request): Promise<Response> {
  const key = request.headers.get("idempotency-key") ?? crypto.randomUUID();
  const payload = (await request.json()) as NewUser;
  const started = await atomic.start(workflow.at(`http://127.0.0.1:${port}/workflows/userCreation`), payload, {
    key,
    timeout: "8s",
  });
  return Response.json({ status: 200, userId: started.response?.id });
}

createServer(serve).listen(port, "127.0.0.1");
