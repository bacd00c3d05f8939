/**
 * An AI agent: a model calls tools side by side, a person approves the dangerous ones, tokens are limited. MODEL_URL is
 * a server with OpenAI's chat API, SHOP_URL is yours. Each line in a terminal of its own:
 *
 *     npm install atomic-workflows
 *     atomic serve --dev
 *     PORT=9000 MODEL_URL=http://127.0.0.1:8026/v1 SHOP_URL=http://127.0.0.1:8026 node agent.ts
 *     atomic start agent http://127.0.0.1:9000/agent/work --key 1 --payload '"Refund A7, B2"' --timeout 0
 *     atomic events send agent 1 'approve call_3' true
 *     atomic events send agent 1 'approve call_4' false
 *     atomic start agent http://127.0.0.1:9000/agent/work --key 1 --payload '"Refund A7, B2"'
 */

import { createServer } from "node:http";
import { type Context, endpoints, StepFailedError } from "atomic-workflows";
import { node } from "atomic-workflows/node";

const MODEL_URL = process.env["MODEL_URL"] ?? "https://api.openai.com/v1";
const SHOP_URL = process.env["SHOP_URL"] ?? "http://127.0.0.1:8026";
const BUDGET = 20_000; // tokens
const DANGEROUS = new Set(["refund"]);

interface ToolCall {
  id: string;
  function: { name: string; arguments: string };
}
interface Message {
  role: string;
  content: string | null;
  tool_calls?: ToolCall[] | null;
  tool_call_id?: string | null;
}
interface Answer {
  choices: [{ message: Message }];
  usage: { total_tokens: number };
}

const agent = endpoints();

// What a tool does is a step, so a replay repeats no tool and pays for no second answer of the model.
const askModel = agent.step("ask_model", async (messages: Message[]): Promise<Answer> => {
  const parameters = { type: "object", properties: { number: { type: "string" } }, required: ["number"] };
  const tools = Object.entries(TOOLS).map(([name, { description }]) => ({
    type: "function",
    function: { name, description, parameters },
  }));
  const headers = { authorization: `Bearer ${process.env["MODEL_KEY"]}`, "content-type": "application/json" };
  const body = JSON.stringify({ model: "gpt-4o", messages, tools });
  return (await said(`${MODEL_URL}/chat/completions`, { method: "POST", headers, body })).json() as Promise<Answer>;
});
const findOrder = agent.step("find_order", async (order: string) => (await said(`${SHOP_URL}/orders/${order}`)).text());
const refund = agent.step("refund", async (order: string, call) => {
  // The step's id is the key of a repeated call, too, so that the shop pays once.
  const headers = { "idempotency-key": call.stepId };
  return (await said(`${SHOP_URL}/refunds/${order}`, { method: "POST", headers })).text();
});
const TOOLS: Record<string, { step: typeof findOrder; description: string }> = {
  find_order: { step: findOrder, description: "Look up an order." },
  refund: { step: refund, description: "Pay the price of an order back to the customer." },
};

/** Ask the model and do what it asks for, until it has an answer or the budget is used up. */
agent.workflow("work", async (ctx, task: string) => {
  const messages: Message[] = [{ role: "user", content: task }];
  let tokens = 0;
  while (tokens < BUDGET) {
    const { choices, usage } = await ctx.step(askModel, messages, { attemptTimeout: "2m" });
    tokens += usage.total_tokens;
    const [{ message }] = choices;
    const calls = message.tool_calls ?? [];
    if (calls.length === 0) return message.content;
    const asked = calls.filter((call) => DANGEROUS.has(call.function.name)).map(({ id }) => id);
    const answers = await Promise.all(asked.map((id) => allowedByPerson(ctx, id)));
    const refused = new Set(asked.filter((_, at) => !answers[at]));
    messages.push(message, ...(await Promise.all(calls.map((call) => use(ctx, call, refused)))));
  }
  return `The budget is used up: ${tokens} tokens.`;
});

/** Wait for a person. No answer within a day is a refusal. */
function allowedByPerson(ctx: Context, id: string): Promise<boolean> {
  return ctx.event<boolean, boolean>(`approve ${id}`, { deadline: { days: 1 }, default: false });
}

/** Call one tool. The model is told of errors, too, so that it can do something else. */
async function use(ctx: Context, call: ToolCall, refused: Set<string>): Promise<Message> {
  const answer = (content: string): Message => ({ role: "tool", tool_call_id: call.id, content });
  const tool = TOOLS[call.function.name];
  if (refused.has(call.id)) return answer("error: a person has refused this");
  if (tool === undefined) return answer(`error: there is no tool ${call.function.name}`);
  try {
    return answer(await ctx.step(tool.step, numberIn(call.function.arguments), { retry: 2, key: call.id }));
  } catch (error) {
    if (!(error instanceof StepFailedError || error instanceof SyntaxError)) throw error;
    return answer(`error: ${error.message}`);
  }
}

/** The number of an order in the arguments that the model wrote. Throws SyntaxError where there is none. */
function numberIn(json: string): string {
  const number = (JSON.parse(json) as { number?: unknown } | null)?.number;
  if (typeof number !== "string" || !/^\w+$/.test(number)) throw new SyntaxError("this is no number of an order");
  return number;
}

/** An answer of another server; what is no success is an error, so that it is retried. */
async function said(url: string, init: RequestInit = {}): Promise<Response> {
  const answer = await fetch(url, init);
  if (!answer.ok) throw new Error(`${url} answered ${answer.status}`);
  return answer;
}

createServer(node(agent)).listen(Number(process.env["PORT"] ?? 9000), "127.0.0.1");
