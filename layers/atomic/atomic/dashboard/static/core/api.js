// All requests to the public API are made here. Everything that the dashboard shows or does can be scripted
// with the same requests; they are described at /docs.

import { readRun } from "./run-changes.js";
import { parse } from "./stored.js";

const PAGE_MAX = 100;
// Of workflows and counters.
const PAGES_MAX = 10;
const UNCHANGED = 304;
const HELP = /^<(\/docs#[a-z-]+)>; rel="help"$/;
// The last answers of reads, by path and key: an answer that is still right is not sent again.
const ANSWERS_MAX = 4;
const KEPT_CHARS = 300_000;
const answers = new Map();

/**
 * A refusal with the server's text (RFC 9457), or `status` 0 when the server could not be reached. `help`:
 * where the server says more; empty for an answer that is not Atomic's.
 */
export class ApiError extends Error {
  constructor(status, title, detail, help = "") {
    super(title);
    this.status = status;
    this.detail = detail;
    this.help = help;
  }
}

/** `body` is sent as JSON; `text` is JSON already. */
async function send(method, path, { signal, body, text, key, extra } = {}) {
  const headers = { accept: "application/json", ...extra };
  if (key) headers.authorization = `Bearer ${key}`;
  const sent = text ?? (body && JSON.stringify(body));
  if (sent !== undefined) headers["content-type"] = "application/json";
  const known = method === "GET" ? answers.get(`${path} ${key}`) : undefined;
  if (known) headers["if-none-match"] = known.tag;
  let reply;
  let said;
  try {
    reply = await fetch(path, { method, signal, headers, body: sent });
    said = await reply.text();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(
      0,
      "The server cannot be reached",
      "Is it still running? This page tries again by itself.",
    );
  }
  if (reply.status === UNCHANGED) return known.answer;
  const answer = read(said);
  const tag = reply.headers.get("etag");
  if (reply.ok && method === "GET" && tag && answer && said.length < KEPT_CHARS)
    remember(`${path} ${key}`, { tag, answer });
  if (reply.ok) return answer ?? {};
  throw new ApiError(
    reply.status,
    answer?.title ?? `Answer ${reply.status}`,
    answer?.detail ?? "",
    HELP.exec(reply.headers.get("link") ?? "")?.[1],
  );
}

/** The value of an answer; null if it is not JSON, which is not remembered. */
function read(text) {
  try {
    return parse(text);
  } catch {
    return null;
  }
}

/** Keep an answer in the memory of the page, and only the newest few. */
function remember(place, entry) {
  answers.delete(place);
  answers.set(place, entry);
  if (answers.size > ANSWERS_MAX) answers.delete(answers.keys().next().value);
}

/** Whether the server has another version of the page than this one, whose first script is `script`. */
export async function isOutdated(script) {
  const answer = await fetch("/dashboard", { cache: "no-store" });
  return answer.ok && !(await answer.text()).includes(new URL(script).pathname);
}

/** Requests that only a server in development answers: its time, and the faults that it makes. */
export const development = {
  time: (signal) => send("GET", "/_dev/time", { signal }),
  faults: (signal) => send("GET", "/_dev/faults", { signal }),
  moveTo: (to) => send("POST", "/_dev/time/advance", { body: { to } }),
  moveByItself: (auto) => send("PUT", "/_dev/time", { body: { auto } }),
  makeFaults: (profile) => send("PUT", "/_dev/faults", { body: { profile } }),
};

/** Requests of one client; `key` is empty where none is needed. */
export function createApi(client, key) {
  const base = `/${encodeURIComponent(client)}`;
  const request = (method, path, more) => send(method, path, { ...more, key });

  const read = (path, query, signal) => request("GET", `${base}${path}${queryString(query)}`, { signal });
  const post = (path, body, more) => request("POST", `${base}${path}`, { body, ...more });

  // The pages of a list, up to a number of them; what else an answer has is that of the last page.
  async function allOf(path, name, query, signal, pages = PAGES_MAX) {
    let page = await read(path, { limit: PAGE_MAX, ...query }, signal);
    const items = [...page[name]];
    for (let number = 1; page.next && number < pages; number++) {
      page = await request("GET", page.next, { signal });
      items.push(...page[name]);
    }
    return { ...page, items, isAll: !page.next };
  }

  return {
    client,
    // For what only some views ask, in the modules `api-of-…` beside this one.
    ...{ base, request, read, post, allOf },
    ...reads({ request, read, allOf }),
    ...acts({ request, post, base }),
  };
}

export const runPath = (runId) => `/runs/${encodeURIComponent(runId)}`;
export const stepPath = (stepId) => `/steps/${encodeURIComponent(stepId)}`;
const workflowPath = (name) => `/workflows/${encodeURIComponent(name)}`;

/** What is read of a client. */
function reads({ request, read, allOf }) {
  return {
    // Only the runs of the shortest window are counted, because counting those of a day may take long.
    stats: (signal) => read("/stats", { window: 1 }, signal),
    runs: (query, signal) => read("/runs", { progress: true, ...query }, signal),
    /** Failed runs, the newest first, up to ten pages: `{items, isAll}`. */
    failedRuns: (query, signal) =>
      allOf("/runs", "runs", { ...query, status: "failed", progress: false }, signal),
    causes: (query, signal) => read("/causes", query, signal),
    /** What the key may do. */
    scopes: async (signal) => (await read("/key", {}, signal)).scopes,
    deadLetters: (query, signal) => read("/dead-letters", query, signal),
    /** A run with its steps; of `before`, which is this run as it was, what has not changed is kept. */
    run: (runId, before, signal) =>
      readRun((query) => read(runPath(runId), query, signal), before, (next) =>
        request("GET", next, { signal }),
      ),
    /** The workflows by name, with the counts of their runs from a time on: `{items, isAll}`. */
    workflows: (from, signal) => allOf("/workflows", "workflows", { from }, signal),
    /** Counters of runs, the newest first: `{items, isAll}`. */
    counters: (query, signal) => allOf("/counters", "counters", query, signal),
    workflow: (name, signal) => read(workflowPath(name), {}, signal),
    /** The limits of the client, and what is used of them. */
    limits: (signal) => read("/limits", {}, signal),
    bulk: (runId, signal) => read(`/bulk/${encodeURIComponent(runId)}`, {}, signal),
  };
}

/** What is done for a client. */
function acts({ request, post, base }) {
  return {
    pauseWorkflow: (name, note) => post(`${workflowPath(name)}/pause`, { note }),
    resumeWorkflow: (name) => post(`${workflowPath(name)}/resume`),
    /** Do an action of `enums.ACTIONS` to a step, or to its run. */
    act: ({ of, name }, { id, runId }, body) =>
      post(`${of === "run" ? runPath(runId) : stepPath(id)}/${name}`, body),
    /** Start a run again with another payload, which is JSON as text: numbers stay as they are written. */
    restart: (runId, text) =>
      post(`${runPath(runId)}/restart`, undefined, { text: `{"payload": ${text}}` }),
    /** Complete an event with JSON, which is sent as it is written. */
    complete: ({ id }, text) => post(`${stepPath(id)}/result`, undefined, { text }),
    reject: ({ id }, detail) => post(`${stepPath(id)}/reject`, { detail }),
    undismiss: (runId) => request("DELETE", `${base}${runPath(runId)}/dismiss`),
    /** How many runs a bulk would concern, with some of them. */
    countBulk: (asked, signal) => post("/bulk", { ...asked, dryRun: true }, { signal }),
    /** Begin a bulk; the same `once` begins no second one. */
    beginBulk: (asked, once) => post("/bulk", asked, { extra: { "idempotency-key": once } }),
  };
}

function queryString(query) {
  const given = Object.entries(query)
    .flatMap(([name, value]) => [value].flat().map((each) => [name, each]))
    .filter(([, value]) => value !== undefined && value !== "");
  return given.length ? `?${new URLSearchParams(given)}` : "";
}
