// Requests as commands for a shell.

import { Stored, write } from "./stored.js";

const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

/** A value of the step; where the document leaves it out as too long, a text that says so. */
const valueOf = (step, name) =>
  step[`${name}Bytes`] ? `(put here the ${name}, of ${step[`${name}Bytes`]} bytes)` : step[name];

/** The command that starts this step, or attaches to it. */
export function startCommand(step, client, { origin, needsKey }) {
  const body = {
    workflowName: step.workflowName,
    ...(step.kind === "http" ? { stepInvokeUrl: step.stepInvokeUrl } : { kind: step.kind }),
    ...(step.stepName ? { stepName: step.stepName } : {}),
    idempotencyKey: step.idempotencyKey,
    ...(step.parent ? { parent: step.parent } : {}),
    // A value was posted as what is its response now, and has nothing to retry.
    payload: step.kind === "value" ? valueOf(step, "response") : valueOf(step, "payload"),
    ...(step.delay ? { delay: step.delay } : {}),
    ...(step.deadline === null ? {} : { deadline: step.deadline }),
    ...(step.kind === "http" ? { attemptTimeout: step.attemptTimeout } : {}),
    ...(step.kind === "value"
      ? {}
      : { retry: Object.fromEntries(Object.entries(step.retry).filter(([, value]) => value !== null)) }),
  };
  return curl(`${origin}/${client}`, body, needsKey ? { Authorization: "Bearer $ATOMIC_API_KEY" } : {});
}

/** The command that calls the endpoint like the given attempt; without a signature, which is not stored. */
export function endpointCommand(step, attempt) {
  const body = {
    idempotencyKey: step.endpointKey,
    workflowName: step.workflowName,
    runId: step.runId,
    stepId: step.id,
    attempt,
    payload: valueOf(step, "payload"),
  };
  return curl(
    step.stepInvokeUrl,
    body,
    Object.fromEntries(headersSent(step, attempt).filter(([, , kept]) => kept)),
  );
}

/** The headers that an attempt sent: name, value, and whether the value is exact. */
export function headersSent(step, attempt) {
  return [
    ["Content-Type", "application/json", true],
    ["Idempotency-Key", step.endpointKey, true],
    ["Atomic-Run-Id", step.runId, true],
    ["Atomic-Step-Id", step.id, true],
    ["Atomic-Attempt", String(attempt), true],
    ["Atomic-Attempt-Token", "(made for each attempt, not kept)", false],
    ["webhook-id", step.id, true],
    ["traceparent", `00-${step.traceId}-(a new span)-01`, false],
    ["webhook-timestamp", "(the time of the attempt, in seconds)", false],
    ["webhook-signature", "(made for each attempt, not kept)", false],
    ["atomic-url", step.stepInvokeUrl, true],
    ["atomic-signature", "(made for each attempt, not kept)", false],
  ];
}

const FIRST = {
  workflowName: "hello",
  url: "http://127.0.0.1:9000/hello",
  key: "hello-1",
  payload: '{"name":"Ada"}',
};

/** The command that starts a first run. */
export const firstRunCommand = (client, how) => newRunCommand(FIRST, client, how);

/** The request that starts a run; its payload is JSON, and stays as it is written. */
export const newRun = ({ workflowName, url, key, payload }) => ({
  workflowName,
  stepInvokeUrl: url,
  idempotencyKey: key,
  payload: new Stored(payload),
});

/** The command that starts a run. */
export function newRunCommand(given, client, { origin, needsKey }) {
  const body = newRun(given);
  return curl(`${origin}/${client}`, body, needsKey ? { Authorization: "Bearer $ATOMIC_API_KEY" } : {});
}

function curl(url, body, headers) {
  const given = Object.entries(headers).map(([name, value]) => {
    // The shell fills in the key, so only this header is in double quotes.
    return `  -H ${name === "Authorization" ? `"${name}: ${value}"` : quoted(`${name}: ${value}`)}`;
  });
  return [`curl ${quoted(url)}`, ...given, `  -d ${quoted(write(body))}`].join(" \\\n");
}
