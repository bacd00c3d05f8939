// The mission's workflow on Restate's Node SDK, both ways: `inside` runs its steps in its own handler,
// `apart` calls each step as a service of its own (our shape). Usage: node app.mjs PORT
import * as http2 from "node:http2";
import * as restate from "@restatedev/restate-sdk";

// The SDK needs it, and Node 20 has it not; newer ones bring their own.
Promise.withResolvers ??= () => {
  const made = {};
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  return made;
};

const done = async () => ({ ok: true });

const steps = restate.service({
  name: "steps",
  handlers: { createUser: done, sendEmail: done, sendAnalytics: done, link: done },
});

const inside = restate.service({
  name: "inside",
  handlers: {
    async index(ctx) {
      await ctx.run("createUser", done);
      await restate.RestatePromise.all([ctx.run("sendEmail", done), ctx.run("sendAnalytics", done)]);
      return { ok: true };
    },
    async chain(ctx, payload) {
      for (let number = 0; number < payload.steps; number++) await ctx.run(`link/${number}`, done);
      return { ok: true };
    },
  },
});

const apart = restate.service({
  name: "apart",
  handlers: {
    async index(ctx, payload) {
      const client = ctx.serviceClient(steps);
      await client.createUser(payload);
      await restate.RestatePromise.all([client.sendEmail(payload), client.sendAnalytics(payload)]);
      return { ok: true };
    },
    async chain(ctx, payload) {
      const client = ctx.serviceClient(steps);
      for (let number = 0; number < payload.steps; number++) await client.link(payload);
      return { ok: true };
    },
  },
});

const endpoint = restate.createEndpointHandler({ services: [steps, inside, apart] });
http2.createServer(endpoint).listen(Number(process.argv[2]), "127.0.0.1");
