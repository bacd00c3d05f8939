// The mission's workflow on Atomic's TypeScript SDK, both ways, as in sdk_application.py: `endpoints` calls each step
// as an endpoint of its own, `values` runs its steps in the handler. Usage: node app.mjs PORT, or bun app.mjs PORT
import { endpoints } from "../../../typescript/dist/esm/index.js";

const done = async () => ({ ok: true });

const apart = endpoints();
const createUser = apart.step("createUser", done);
const sendEmail = apart.step("sendEmail", done);
const sendAnalytics = apart.step("sendAnalytics", done);
const link = apart.step("link", done);
apart.workflow("index", async (ctx, payload) => {
  await ctx.step(createUser, payload);
  await Promise.all([ctx.step(sendEmail, payload), ctx.step(sendAnalytics, payload)]);
  return { ok: true };
});
apart.workflow("chain", async (ctx, payload) => {
  for (let number = 0; number < payload.steps; number++) await ctx.step(link, payload);
  return { ok: true };
});

const inside = endpoints();
inside.workflow("index", async (ctx) => {
  await ctx.run("createUser", done);
  await Promise.all([ctx.run("sendEmail", done), ctx.run("sendAnalytics", done)]);
  return { ok: true };
});
inside.workflow("chain", async (ctx, payload) => {
  for (let number = 0; number < payload.steps; number++) await ctx.run(`link/${number}`, done);
  return { ok: true };
});

const port = Number(process.argv[2]);
const shapes = { endpoints: apart, values: inside };
const shapeOf = (path) => shapes[path.split("/")[1]];
if (globalThis.Bun) {
  Bun.serve({ hostname: "127.0.0.1", port, fetch: (request) => shapeOf(new URL(request.url).pathname).fetch(request) });
} else {
  const { createServer } = await import("node:http");
  const { node } = await import("../../../typescript/dist/esm/node.js");
  const listeners = { endpoints: node(apart), values: node(inside) };
  createServer((request, response) => listeners[request.url.split("/")[1]](request, response)).listen(port, "127.0.0.1");
}
