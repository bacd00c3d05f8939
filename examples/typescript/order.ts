/**
 * An order: a manager approves it and is reminded, a bank calls back when it is paid, and errors undo it. services.py,
 * one folder up, prints what it is told, and with the charge the URL that the bank would call. Each line in a terminal
 * of its own:
 *
 *     npm install atomic-workflows && pip install aiosmtpd
 *     atomic serve --dev
 *     python services.py
 *     node order.ts
 *     atomic start order http://127.0.0.1:9000/orders/place --key 1 --payload '{"item": "cup"}' --timeout 0
 *     atomic events send order 1 approval true
 *     curl -X POST THE_CALLBACK_URL --json '{"paid": 900}'
 *     atomic start order http://127.0.0.1:9000/orders/place --key 1 --payload '{"item": "cup"}'
 */

import { createServer } from "node:http";
import { type Call, type Context, endpoints, StepFailedError } from "atomic-workflows";
import { node } from "atomic-workflows/node";

const SERVICES = process.env["COLLECTOR_URL"] ?? "http://127.0.0.1:8026";

/** What is ordered; `callbackUrl` is where the bank says that it is paid. */
interface Order {
  item: string;
  callbackUrl?: string;
}

const orders = endpoints();
const told = (event: string) => orders.step(event, (order: Order, call) => tell(event, order, call));
const [askManager, reserve, release] = [told("ask"), told("reserve"), told("release")];
const [charge, refund, ship] = [told("charge"), told("refund"), told("ship")];

/** Ask the manager, take the money, ship. If anything fails, undo what was done before. */
orders.workflow("place", async (ctx, order: Order) => {
  // Made outside of the race: an event of a branch has the branch in its address.
  const approval = ctx.event<boolean>("approval");
  const first = await ctx.race({
    approval: () => approval,
    reminders: (ctx) => remind(ctx, order),
  });
  if (!first.result) return "not approved";
  try {
    await ctx.saga(async (saga) => {
      await saga.step(reserve, order, { undo: release });
      const pay = (url: string) => saga.step(charge, { ...order, callbackUrl: url }, { undo: refund });
      await ctx.callback("payment", pay, { deadline: "1h" });
      await ctx.step(ship, order, { retry: 3 });
    });
  } catch (error) {
    if (!(error instanceof StepFailedError)) throw error;
    return `undone: ${error.message}`;
  }
  return "shipped";
});

/** Ask the manager three times, and stop after nine days. The answer ends this at any time. */
async function remind(ctx: Context, order: Order): Promise<false> {
  for (let times = 0; times < 3; times += 1) {
    await ctx.step(askManager, order);
    await ctx.sleep({ days: 3 });
  }
  return false;
}

/** A repeated call has the same step id, so that the service does what it is told once. */
async function tell(event: string, order: Order, call: Call): Promise<void> {
  const headers = { "idempotency-key": call.stepId, "content-type": "application/json" };
  const body = JSON.stringify({ event, ...order });
  const answer = await fetch(SERVICES, { method: "POST", headers, body });
  if (!answer.ok) throw new Error(`${event} was answered by ${answer.status}`);
}

createServer(node(orders)).listen(Number(process.env["PORT"] ?? 9000), "127.0.0.1");
