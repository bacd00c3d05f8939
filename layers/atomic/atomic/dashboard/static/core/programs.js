// The start of a run in Python and TypeScript. A text is written as in JSON, which both languages read.
// Lines are texts of their own, since the indentation of this file is left out where it is served.

const quoted = (text) => JSON.stringify(text);
const program = (...lines) => `${lines.join("\n")}\n`;

/** `{workflowName, url, key, payload}`, where the payload is JSON, as a program in Python. */
export function pythonStart({ workflowName, url, key, payload }, client, origin) {
  return program(
    "import json",
    "",
    "from atomic import Client",
    "",
    "# The API key is read from ATOMIC_API_KEY.",
    `with Client(${quoted(origin)}, client_id=${quoted(client)}) as client:`,
    "    run = client.start(",
    `        ${quoted(workflowName)},`,
    `        ${quoted(url)},`,
    `        json.loads(${quoted(payload)}),`,
    `        key=${quoted(key)},`,
    "    )",
    "    print(run.status, run.response)",
  );
}

/** The same in TypeScript. */
export function typescriptStart({ workflowName, url, key, payload }, client, origin) {
  return program(
    'import { Atomic } from "atomic-workflows";',
    "",
    "// The API key is read from ATOMIC_API_KEY.",
    `const atomic = new Atomic({ url: ${quoted(origin)}, clientId: ${quoted(client)} });`,
    "const run = await atomic.start(",
    `  { workflowName: ${quoted(workflowName)}, url: ${quoted(url)} },`,
    `  JSON.parse(${quoted(payload)}),`,
    `  { key: ${quoted(key)} },`,
    ");",
    "console.log(run.status, run.response);",
  );
}

const CRON = "0 8 * * MON-FRI";
const ZONE = "Europe/Berlin";
const DIGEST = "http://127.0.0.1:8000/reports/digest";

/** The command that makes a first schedule. */
export const scheduleCommand = (client, origin) =>
  [
    `atomic schedules put digest digest ${DIGEST}`,
    `  --cron '${CRON}' --tz ${ZONE}`,
    `  --url ${origin} --client ${client}`,
  ].join(" \\\n");

/** The same in Python. */
export const pythonSchedule = (client, origin) =>
  program(
    "from atomic import Client",
    "from atomic.sdk.schedules import Cron",
    "",
    `weekdays = Cron(${quoted(CRON)}, tz=${quoted(ZONE)})`,
    `with Client(${quoted(origin)}, client_id=${quoted(client)}) as client:`,
    "    client.schedules.put(",
    `        "digest", weekdays, "digest", ${quoted(DIGEST)}`,
    "    )",
  );

/** The same in TypeScript. */
export const typescriptSchedule = (client, origin) =>
  program(
    'import { cron, Schedules } from "atomic-workflows/schedules";',
    "",
    "const schedules = new Schedules({",
    `  url: ${quoted(origin)},`,
    `  clientId: ${quoted(client)},`,
    "});",
    `const weekdays = cron(${quoted(CRON)}, { tz: ${quoted(ZONE)} });`,
    'await schedules.put("digest", weekdays, {',
    '  workflowName: "digest",',
    `  url: ${quoted(DIGEST)},`,
    "});",
  );
