// All requests to the public API are made here. Everything that the dashboard shows or does can be scripted
// with the same requests; they are described at /docs.

import { LIVE } from "./enums.js";
import { parse } from "./stored.js";

const STEPS_PAGE = 1000;
const PAGE = 100;
// Of workflows and counters.
const PAGES_MAX = 10;

/** A refusal with the server's text (RFC 9457), or `status` 0 when the server could not be reached. */
export class ApiError extends Error {
  constructor(status, title, detail) {
    super(title);
    this.status = status;
    this.detail = detail;
  }
}

async function send(method, path, { signal, body, text, key, once } = {}) {
  const headers = { accept: "application/json" };
  if (once) headers["idempotency-key"] = once;
  if (key) headers.authorization = `Bearer ${key}`;
  const sent = text ?? (body && JSON.stringify(body));
  if (sent !== undefined) headers["content-type"] = "application/json";
  let reply;
  try {
    reply = await fetch(path, { method, signal, headers, body: sent });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(
      0,
      "The server cannot be reached",
      "Is it still running? This page tries again by itself.",
    );
  }
  const answer = await reply
    .text()
    .then(parse)
    .catch(() => ({}));
  if (reply.ok) return answer;
  throw new ApiError(reply.status, answer.title ?? `Answer ${reply.status}`, answer.detail ?? "");
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
  const runPath = (runId) => `/runs/${encodeURIComponent(runId)}`;

  // The pages of a list, up to a number of them.
  async function allOf(path, name, query, signal) {
    let page = await read(path, { ...query, limit: PAGE }, signal);
    const items = page[name];
    for (let number = 1; page.next && number < PAGES_MAX; number++) {
      page = await request("GET", page.next, { signal });
      items.push(...page[name]);
    }
    return { items, isAll: !page.next };
  }

  return {
    // Only the runs of the shortest window are counted, because counting those of a day may take long.
    stats: (signal) => read("/stats", { window: 1 }, signal),
    runs: (query, signal) => read("/runs", { progress: true, ...query }, signal),
    causes: (query, signal) => read("/causes", query, signal),
    /** What the key may do. */
    scopes: async (signal) => (await read("/key", {}, signal)).scopes,
    deadLetters: (query, signal) => read("/dead-letters", query, signal),
    run: async (runId, signal) => {
      const first = await read(runPath(runId), { limit: STEPS_PAGE }, signal);
      const steps = [...first.steps];
      let costUsd = first.estimatedCostUsd;
      for (let next = first.next; next;) {
        const page = await request("GET", next, { signal });
        const known = new Set(steps.map((step) => step.id));
        steps.push(...page.steps.filter((step) => !known.has(step.id)));
        costUsd = costUsd === null ? null : costUsd + page.estimatedCostUsd;
        next = page.next;
      }
      return { run: first.run, root: first.root, steps, costUsd };
    },
    /** The workflows by name, with the counts of their runs from a time on: `{items, isAll}`. */
    workflows: (from, signal) => allOf("/workflows", "workflows", { from }, signal),
    /** Counters of runs, the newest first: `{items, isAll}`. */
    counters: (query, signal) => allOf("/counters", "counters", query, signal),
    workflow: (name, signal) => read(`/workflows/${encodeURIComponent(name)}`, {}, signal),
    causes: (query, signal) => read("/causes", query, signal),
    pauseWorkflow: (name, note) => post(`/workflows/${encodeURIComponent(name)}/pause`, { note }),
    resumeWorkflow: (name) => post(`/workflows/${encodeURIComponent(name)}/resume`),
    /** Do an action of `enums.ACTIONS` to a step, or to its run. */
    act: ({ of, name }, { id, runId }, body) =>
      post(`/${of}s/${encodeURIComponent(of === "run" ? runId : id)}/${name}`, body),
    /** The live events of a page of runs that have some. Each run is read, up to its first steps. */
    openEvents: async (query, signal) => {
      const list = await read("/runs", { ...query, waitsFor: "event" }, signal);
      const readOne = ({ runId }) => read(runPath(runId), { limit: STEPS_PAGE }, signal);
      const found = await Promise.all(list.runs.map(readOne));
      const events = found.flatMap(({ root, steps }) =>
        steps
          .filter(({ kind, status }) => kind === "event" && LIVE.includes(status))
          .map((event) => ({ event, root })),
      );
      return { events, next: list.next && new URLSearchParams(list.next.split("?")[1]).get("cursor") };
    },
    /** Complete an event with JSON, which is sent as it is written. */
    complete: ({ id }, text) => post(`/steps/${encodeURIComponent(id)}/result`, undefined, { text }),
    reject: ({ id }, detail) => post(`/steps/${encodeURIComponent(id)}/reject`, { detail }),
    undismiss: (runId) => request("DELETE", `${base}${runPath(runId)}/dismiss`),
    /** How many runs a bulk would concern, with some of them. */
    countBulk: (asked, signal) => post("/bulk", { ...asked, dryRun: true }, { signal }),
    /** Begin a bulk; the same `once` begins no second one. */
    beginBulk: (asked, once) => post("/bulk", asked, { once }),
    bulk: (runId, signal) => read(`/bulk/${encodeURIComponent(runId)}`, {}, signal),
  };
}

function queryString(query) {
  const given = Object.entries(query)
    .flatMap(([name, value]) => [value].flat().map((each) => [name, each]))
    .filter(([, value]) => value !== undefined && value !== "");
  return given.length ? `?${new URLSearchParams(given)}` : "";
}
