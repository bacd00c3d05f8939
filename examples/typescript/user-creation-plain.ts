/**
 * User creation in pure TypeScript: nothing is imported beyond Node's http server. The workflow and its steps are
 * functions behind URLs, and each call between them is one POST to Atomic. Each line in a terminal of its own:
 *
 *     atomic serve --dev
 *     node user-creation-plain.ts
 *     curl -s http://127.0.0.1:9000/users -H 'Idempotency-Key: ada-1' -d '{"userName": "ada", "email": "ada@example.com"}'
 */

import { createServer, type IncomingMessage } from "node:http";

const port = Number(process.env["PORT"] ?? 9000);
const myBaseUrl = `http://127.0.0.1:${port}`;
const atomicBaseUrl = process.env["ATOMIC_URL"] ?? "http://127.0.0.1:8787";
const clientId = "demo";

// Retry configuration used for workflow steps
const retryConfig = { count: 10, backOff: 1000 };

// Base part of the workflow URLs
const workflowUrlBase = "/workflows/userCreation/steps";

/** What Atomic posts to a workflow or a step. */
interface Call {
  idempotencyKey: string;
  payload: any;
}

/** What Atomic answers: what became of the step, and what its endpoint has said. */
interface Outcome {
  id: string;
  response: any;
}

/** An answer that is no success. */
class HttpError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

// Your application API endpoint which creates a user
async function createUserEndpoint(idempotencyKey: string, userName: string, email: string) {
  const payload = { userName, email };
  // Triggers workflow and handles retries and timeouts
  const userCreatedResponse = await postWorkflow("createUser", "/workflows/userCreation/index", idempotencyKey, payload, {
    timeout: 8000,
  });
  return { status: 200, userId: userCreatedResponse.response.id };
}

/* The following URLs will be invoked via Atomic */

// User creation workflow, triggered at POST /workflows/userCreation/index. It is called again until it has an answer;
// steps that are done are answered from memory.
async function createUserWorkflow({ idempotencyKey, payload }: Call) {
  const userCreatedResponse = await performWorkflowStep("createUser", idempotencyKey, payload);

  await Promise.all([
    performWorkflowStep("sendEmail", idempotencyKey, userCreatedResponse.response),
    performWorkflowStep("sendAnalytics", idempotencyKey, userCreatedResponse.response),
  ]);
  return userCreatedResponse.response;
}

// Creates a user in the database, triggered at POST /workflows/userCreation/steps/createUser
async function createUserDBStep({ idempotencyKey, payload }: Call) {
  return db.saveUserToDB(idempotencyKey, payload);
}

// Sends a user creation email, triggered at POST /workflows/userCreation/steps/sendEmail
async function createUserEmailStep({ idempotencyKey, payload }: Call) {
  return emailClient.sendEmail(idempotencyKey, payload);
}

// Sends analytics data for user creation, triggered at POST /workflows/userCreation/steps/sendAnalytics
async function createUserAnalyticsStep({ idempotencyKey, payload }: Call) {
  return analytics.userCreated(idempotencyKey, payload);
}

/* Helper functions */

// Helper function to POST requests to the Atomic workflow server
async function postWorkflow(
  workflowName: string,
  stepInvokeUrl: string,
  idempotencyKey: string,
  payload: unknown,
  options: object = {},
): Promise<Outcome> {
  const answer = await fetch(`${atomicBaseUrl}/${clientId}`, {
    method: "POST",
    body: JSON.stringify({
      workflowName,
      stepInvokeUrl: `${myBaseUrl}${stepInvokeUrl}`,
      idempotencyKey,
      payload,
      ...options,
    }),
  });
  if (!answer.ok) throw new HttpError(503, `${stepInvokeUrl} is not done: ${await answer.text()}`);
  return (await answer.json()) as Outcome;
}

// Helper function to perform a workflow step
async function performWorkflowStep(stepName: string, idempotencyKey: string, payload: unknown) {
  return postWorkflow("createUser", `${workflowUrlBase}/${stepName}`, idempotencyKey, payload, { retry: retryConfig });
}

/* Stand-ins for your database, email client and analytics: each does its work once for each key */

const users = new Map<string, { id: number; userName: string; email: string }>();
const db = {
  async saveUserToDB(key: string, { userName, email }: { userName: string; email: string }) {
    const user = users.get(key) ?? { id: users.size + 1, userName, email };
    users.set(key, user);
    return user;
  },
};

const sent = new Set<string>();
const emailClient = {
  async sendEmail(key: string, { email }: { email: string }) {
    sent.add(key);
    return { sentTo: email };
  },
};

const asked = new Map<string, number>();
const analytics = {
  // The collector does not know the new user at first.
  async userCreated(key: string, { id }: { id: number }) {
    const times = (asked.get(key) ?? 0) + 1;
    asked.set(key, times);
    if (times <= 3) throw new HttpError(404, `user ${id} is unknown`);
    return { counted: id };
  },
};

/* The server */

const routes: Record<string, (call: any, request: IncomingMessage) => Promise<unknown>> = {
  "/users": ({ userName, email }, { headers }) =>
    createUserEndpoint(`${headers["idempotency-key"] ?? crypto.randomUUID()}`, userName, email),
  "/workflows/userCreation/index": createUserWorkflow,
  [`${workflowUrlBase}/createUser`]: createUserDBStep,
  [`${workflowUrlBase}/sendEmail`]: createUserEmailStep,
  [`${workflowUrlBase}/sendAnalytics`]: createUserAnalyticsStep,
};

createServer(async (request, response) => {
  let status = 200;
  let body: unknown;
  try {
    let text = "";
    for await (const chunk of request.setEncoding("utf8")) text += chunk;
    const route = routes[request.url ?? ""];
    if (route === undefined) throw new HttpError(404, "there is no such endpoint");
    body = await route(JSON.parse(text), request);
  } catch (error) {
    status = error instanceof HttpError ? error.status : 500;
    body = { error: String(error) };
  }
  console.log(request.method, request.url, status);
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body ?? null));
}).listen(port, "127.0.0.1");
