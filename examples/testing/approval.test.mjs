// The same approval in plain JavaScript: no package, neither in the workflow nor in the test.
//
//     atomic dev test -- node --test
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, test } from "node:test";

const ATOMIC = process.env.ATOMIC_URL ?? "http://127.0.0.1:8787";
const HOUR = 3_600_000;
const mails = [];
let url;

async function post(path, document, headers = {}) {
  const answer = await fetch(ATOMIC + path, { method: "POST", body: JSON.stringify(document), headers });
  return { status: answer.status, document: await answer.json() };
}

/** A step or an event of the workflow: its answer; throws while it has none. */
async function step(call, document) {
  const { status, document: step } = await post("/dev/steps", {
    workflowName: call.workflowName, idempotencyKey: call.idempotencyKey, parent: call.stepId, ...document,
  });
  if (status === 424 && step.type.endsWith("event-expired")) return null;
  if (status !== 200) throw new Error(`${status}: not finished`);
  return step.response;
}

async function approve(call) {
  const wait = (name, days) => step(call, { kind: "event", stepName: name, deadline: days * 24 * HOUR });
  const mail = (text) => step(call, { stepInvokeUrl: `${url}/mail`, stepName: text, payload: text });
  await mail("please approve");
  let answer = await wait("approval", 1);
  if (answer === null) {
    await mail("do not forget");
    answer = await wait("second chance", 2);
  }
  return answer === null ? "withdrawn" : `approved by ${answer.by}`;
}

const endpoints = { "/approve": approve, "/mail": (call) => mails.push(call.payload) };
const server = createServer(async (request, response) => {
  let body = "";
  for await (const chunk of request) body += chunk;
  try {
    response.end(JSON.stringify(await endpoints[request.url](JSON.parse(body))));
  } catch (error) {
    response.writeHead(500).end(JSON.stringify({ detail: error.message }));
  }
});

before(async () => {
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${server.address().port}`;
});

after(() => {
  server.close();
  server.closeAllConnections();
});

async function start(key) {
  const document = { workflowName: "approve", idempotencyKey: key, stepInvokeUrl: `${url}/approve` };
  return (await post("/dev", document, { prefer: "respond-async" })).document;
}

test("it reminds after a day and takes the answer", async () => {
  mails.length = 0;
  const run = await start("js-1");
  await post("/_dev/time/advance", { by: 23 * HOUR });
  assert.deepEqual(mails, ["please approve"]);
  await post("/_dev/time/advance", { by: 2 * HOUR });
  assert.deepEqual(mails, ["please approve", "do not forget"]);
  const event = { workflowName: "approve", idempotencyKey: "js-1", name: "second chance" };
  await post("/dev/events", { ...event, result: { by: "ada" } });
  const { document } = await post("/_dev/time/until", { runId: run.runId });
  assert.equal(document.root.response, "approved by ada");
});

test("it withdraws after three days", async () => {
  const run = await start("js-2");
  const { document } = await post("/_dev/time/until", { runId: run.runId });
  assert.equal(document.root.response, "withdrawn");
});
