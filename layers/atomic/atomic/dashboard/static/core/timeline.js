// What each step did, as parts of a time axis: pure arithmetic, no DOM. Times are milliseconds since the
// epoch.

import { serverNow } from "./clock.js";
import { capital, ms } from "./format.js";

// A queue of a few milliseconds is not shown.
const QUEUED_SHOWN_MS = 50;
const ENDS = { cancelled: "it was cancelled", failed: "its time was over" };

/** Whether a step or run is live; a state that this page does not know counts as live. */
export const isLive = (step) => !step.finishedAt;

/** Whether the run of this root is paused; one whose `until` is past goes on. */
export const isPaused = ({ paused }) =>
  Boolean(paused) && !(paused.until && ms(paused.until) < serverNow());

/**
 * The pause of a run that keeps one of its steps from its next call; null if there is none. Attempts that
 * are under way, timers and events go on.
 */
export const heldBy = (step, root) =>
  isPaused(root) && isLive(step) && step.status !== "running" && !["timer", "event"].includes(step.kind)
    ? root.paused
    : null;

/** The root and its steps with their depths, in the order they began, the steps of each step below it. */
export function treeOf(root, steps) {
  const known = new Set([root.id, ...steps.map((step) => step.id)]);
  const below = new Map();
  for (const step of steps) {
    const boss = known.has(step.parent) && step.parent !== step.id ? step.parent : root.id;
    if (!below.has(boss)) below.set(boss, []);
    below.get(boss).push(step);
  }
  const rows = [];
  const left = [{ step: root, depth: 0 }];
  while (left.length) {
    const row = left.pop();
    rows.push(row);
    for (const step of (below.get(row.step.id) ?? []).reverse()) left.push({ step, depth: row.depth + 1 });
  }
  return rows;
}

/** The next change of a step without outside help: `{name, verb, at}`; null when there is none. */
export function nextOf(step, root = {}) {
  if (heldBy(step, root) || !step.dueAt || step.kind === "event") return null;
  const at = ms(step.dueAt);
  if (step.status === "retrying") return { name: "Next retry", verb: "retry", at };
  if (step.status !== "pending") return null;
  if (step.kind === "timer") return { name: "Wakes", verb: "wakes", at };
  return step.kind === "http" ? { name: "Starts", verb: "starts", at } : { name: "Due", verb: "due", at };
}

/**
 * The history of a step, in order: `{kind, from, to, attempt?, label}`. Kinds are outcomes of attempts
 * (`succeeded`, `retryable`, `permanent`, `suspended`, `deferred`, `no_answer`, `running`) and the times
 * between attempts (`queued`, `backoff`, `waiting`, `dead`). `held` is the pause that it rests in now.
 */
export function segmentsOf(step, now, held = null) {
  const attempts = step.attemptLog;
  const segments = [];
  let before = null;
  let reached = ms(step.createdAt);
  for (const attempt of attempts) {
    const from = ms(attempt.startedAt);
    if (from > reached) segments.push(gap(before, attempt, reached, from));
    const to = attempt.endedAt === null ? (isLive(step) ? now : ms(step.finishedAt)) : ms(attempt.endedAt);
    segments.push({ kind: outcomeOf(step, attempt), from, to, attempt });
    reached = Math.max(reached, to);
    before = attempt;
  }
  const rest = restOf(step, reached, now, held);
  if (rest) segments.push(rest);
  return segments.filter((part) => part.kind !== "queued" || part.to - part.from >= QUEUED_SHOWN_MS);
}

/** The kind of an attempt; the last retryable one of a dead letter counts as permanent. */
export function outcomeOf(step, attempt) {
  const isLast = attempt === step.attemptLog.at(-1);
  if (isLast && step.status === "failed" && attempt.outcome === "retryable") return "permanent";
  return attempt.outcome ?? "running";
}

function gap(before, next, from, to) {
  if (next.number > (before?.number ?? 0) + 1)
    return { kind: "backoff", from, to, label: "Earlier attempts, no longer kept" };
  if (!before) return { kind: "queued", from, to, label: "Waiting to start" };
  if (next.generation > before.generation)
    return { kind: "dead", from, to, label: "Dead letter, until it was redriven" };
  if (before.outcome === "suspended")
    return { kind: "waiting", from, to, label: "Waiting for other steps" };
  if (before.outcome === "deferred") return { kind: "backoff", from, to, label: "Deferred by Atomic" };
  if (before.outcome === "no_answer") return { kind: "backoff", from, to, label: "Lost attempt, repeated" };
  if (before.outcome !== "retryable") return { kind: "backoff", from, to, label: "Between two attempts" };
  // A handler that failed while its steps were live waits for them; its attempts do not show this.
  return { kind: "backoff", from, to, label: "Back-off, or waiting for its steps" };
}

function restOf(step, from, now, held) {
  const finished = ms(step.finishedAt);
  if (held) return { kind: "waiting", from, to: Math.max(now, from), label: "Paused" };
  if (step.status === "retrying") {
    return { kind: "backoff", from, to: Math.max(ms(step.dueAt) ?? now, from), label: "Next retry" };
  }
  if (isLive(step) && step.status !== "running") {
    const kind = step.status === "pending" && step.kind === "http" ? "queued" : "waiting";
    return { kind, from, to: Math.max(now, from), label: waitingFor(step) };
  }
  if (!(finished > from)) return null;
  const last = step.attemptLog.at(-1);
  if (!last) {
    const kind = step.status === "succeeded" ? "slept" : "waiting";
    return { kind, from, to: finished, label: waitingFor(step) };
  }
  const end = ENDS[step.status] ?? "it ended";
  const kind = last.outcome === "suspended" ? "waiting" : "backoff";
  return { kind, from, to: finished, label: `Until ${end}` };
}

function waitingFor(step) {
  if (step.kind === "timer") return "Sleeping";
  if (step.kind === "event") return "Waiting for its result to be posted";
  if (step.status === "waiting") return "Waiting for other steps";
  if (isLive(step) && step.status !== "pending") return capital(step.status);
  return step.kind === "http" ? "Waiting to start" : "Waiting";
}
