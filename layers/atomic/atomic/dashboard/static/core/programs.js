// The start of a run in Python and TypeScript. A text is written as in JSON, which both languages read.
// Lines are texts of their own, since the indentation of this file is left out where it is served.

const quoted = (text) => JSON.stringify(text);
const program = (...lines) => `${lines.join("\n")}\n`;

const STRING_OR_NUMBER = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g;
const INTEGER = /^-?\d+$/;
const DECIMAL = /^-?(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/;

const numbersIn = (json) => (json.match(STRING_OR_NUMBER) ?? []).filter((token) => token[0] !== '"');

/** An integer that a number of JavaScript may not hold. */
const isLarge = (token) => INTEGER.test(token) && !Number.isSafeInteger(Number(token));

/** Whether a number has more digits than floating point keeps. */
const losesDigits = (token) => !INTEGER.test(token) && valueOf(token) !== valueOf(String(Number(token)));

/** The digits of a number and its power of ten; 1.50, 15e-1 and 1.5 are the same. */
function valueOf(text) {
  const [, whole, part = "", power = "0"] = DECIMAL.exec(text) ?? [];
  if (whole === undefined) return text;
  const digits = (whole + part).replace(/^0+/, "");
  const short = digits.replace(/0+$/, "");
  return short && `${short}e${Number(power) - part.length + digits.length - short.length}`;
}

/** What the program would send otherwise than it was typed, as lines of a comment. */
function warnings(payload, mark) {
  const lost = numbersIn(payload).find(losesDigits);
  return lost ? [`${mark} This program rounds ${lost}: the copy for curl sends it as it is.`] : [];
}

/** `{workflowName, url, key, payload}`, where the payload is JSON, as a program in Python. */
export function pythonStart({ workflowName, url, key, payload }, client, origin) {
  return program(
    "import json",
    "",
    "from atomic import Client",
    "",
    ...warnings(payload, "#"),
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

/** The same in TypeScript. Integers beyond 2^53 are read as `bigint`, which is sent as it is. */
export function typescriptStart({ workflowName, url, key, payload }, client, origin) {
  const isOfLarge = numbersIn(payload).some(isLarge);
  return program(
    'import { Atomic } from "atomic-workflows";',
    ...(isOfLarge ? ['import { parseWithBigint } from "atomic-workflows/bigint";'] : []),
    "",
    ...warnings(payload, "//"),
    "// The API key is read from ATOMIC_API_KEY.",
    `const atomic = new Atomic({ url: ${quoted(origin)}, clientId: ${quoted(client)} });`,
    "const run = await atomic.start(",
    `  { workflowName: ${quoted(workflowName)}, url: ${quoted(url)} },`,
    `  ${isOfLarge ? "parseWithBigint" : "JSON.parse"}(${quoted(payload)}),`,
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
