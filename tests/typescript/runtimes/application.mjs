// The application of the tests: a workflow of three steps. It uses the packed package, and nothing of a runtime.
import { endpoints, RetryAfter } from "atomic-workflows";

/** `atomic`: the connection to the server. Without it, it comes from the environment. */
export function application(atomic) {
  const users = endpoints({ ...(atomic && { atomic }), waitMs: 1 });
  const create = users.step("create", ({ name }) => ({ id: `user-${name}` }));
  const mail = users.step("mail", ({ id }, call) => {
    if (call.attempt === 1) throw new RetryAfter(0, "not yet");
    return `mail to ${id}`;
  });
  const count = users.step("count", ({ id }) => id.length);
  users.workflow("signUp", async (ctx, { name }) => {
    const user = await ctx.step(create, { name });
    const [mailed, counted] = await Promise.all([
      ctx.step(mail, user, { retry: { count: 5, backOff: 50 } }),
      ctx.step(count, user),
    ]);
    return { mailed, counted };
  });
  return users;
}
