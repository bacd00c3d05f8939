// The rows of a run's page: steps below those that posted them, siblings of one name folded into a group,
// and what a search or a filter leaves. Pure, no DOM.

import { isOn, offsetOf, spanOf } from "./axis.js";
import { visible } from "./format.js";
import { isLive, treeOf } from "./timeline.js";

// So many siblings of one name become one row.
const FOLDED_FROM = 10;
const STRIPES = 48;

/** The name of a step, or the last part of its URL. */
export function nameOf(step) {
  if (step.stepName) return visible(step.stepName);
  if (step.parent === null) return visible(step.workflowName);
  const path = (step.stepInvokeUrl ?? step.kind).split("?")[0].replace(/\/+$/, "");
  return visible(path.slice(path.lastIndexOf("/") + 1) || path);
}

export const isRetried = (step) => step.retriesUsed > 0 || step.generation > 1;

/** The step because of which a run failed: what the server names, or the step that failed first. */
export function culpritOf({ root, steps }) {
  if (root.status !== "failed") return null;
  const failed = steps.filter((step) => step.status === "failed");
  const named = failed.find((step) => step.id === root.cause?.stepId);
  if (named || root.cause?.stepId === root.id || !failed.length) return named ?? root;
  return failed.reduce((a, b) => (Date.parse(b.finishedAt) < Date.parse(a.finishedAt) ? b : a));
}

/**
 * The step because of which a part of a live run failed, with no retry left. Of what failed last in a live
 * run: from there down, the failed child that ended last before its parent did. A handler may still go on
 * without it.
 */
export function failedIn({ root, steps }) {
  if (!isLive(root)) return null;
  const failed = steps.filter((step) => step.status === "failed");
  const ids = new Set(failed.map((step) => step.id));
  const last = (found) =>
    found.reduce((a, b) => (a && Date.parse(a.finishedAt) > Date.parse(b.finishedAt) ? a : b), null);
  let found = null;
  let next = last(failed.filter((step) => !ids.has(step.parent)));
  while (next) {
    found = next;
    const until = Date.parse(found.finishedAt);
    next = last(failed.filter((step) => step.parent === found.id && Date.parse(step.finishedAt) <= until));
  }
  return found;
}

/**
 * The rows in order: `{key, step, depth}`, and for a group `{key, name, members, depth, isOpen}`. `open`
 * has the keys of the groups that are open.
 */
export function rowsOf({ root, steps }, open) {
  const rows = treeOf(root, steps);
  const groups = groupsOf(rows);
  const shown = [];
  // Rows below a folded step are folded with it; `until` is the depth at which they end.
  let until = Number.POSITIVE_INFINITY;
  // The depths of the members of open groups that a row is below: a group makes its members deeper.
  const inside = [];
  for (const { step, depth: level } of rows) {
    while (inside.at(-1) >= level) inside.pop();
    const depth = level + inside.length;
    if (level > until) continue;
    until = Number.POSITIVE_INFINITY;
    const group = groups.get(step.id);
    if (!group) {
      shown.push({ key: step.id, step, depth });
      continue;
    }
    const isOpen = open.has(group.key);
    if (group.members[0] === step) shown.push({ ...group, depth, isOpen });
    if (isOpen) {
      inside.push(level);
      shown.push({ key: step.id, step, depth: depth + 1 });
    } else until = level;
  }
  return shown;
}

/** The key of the group that has this step; undefined for a step without one. */
export const groupOf = ({ root, steps }, id) => groupsOf(treeOf(root, steps)).get(id)?.key;

function groupsOf(rows) {
  const byName = new Map();
  for (const { step } of rows) {
    if (step.parent === null) continue;
    const name = nameOf(step);
    const key = `group ${step.parent} ${name}`;
    if (!byName.has(key)) byName.set(key, { key, name, members: [] });
    byName.get(key).members.push(step);
  }
  const groups = new Map();
  for (const group of byName.values())
    if (group.members.length >= FOLDED_FROM) for (const step of group.members) groups.set(step.id, group);
  return groups;
}

/**
 * The rows of the steps that fit a text and a filter (`failed`, `live`, `retried`), without groups. The
 * run itself is none of its failed or live steps.
 */
export function foundRows({ root, steps }, { text, only }) {
  const wanted = text.trim().toLowerCase();
  const fits = (step) =>
    (step !== root || !["failed", "live"].includes(only)) &&
    (only !== "failed" || step.status === "failed") &&
    (only !== "live" || isLive(step)) &&
    (only !== "retried" || isRetried(step)) &&
    (!wanted || textOf(step).includes(wanted));
  return treeOf(root, steps)
    .filter(({ step }) => fits(step))
    .map(({ step, depth }) => ({ key: step.id, step, depth }));
}

const textOf = (step) =>
  [nameOf(step), step.id, step.status, step.idempotencyKey, step.error ?? ""].join("\n").toLowerCase();

/** How many of these steps are in which state, in the order of the first of each. */
export function countsOf(steps) {
  const counts = {};
  for (const { status } of steps) counts[status] = (counts[status] ?? 0) + 1;
  return counts;
}

/**
 * Where a group's steps are on the axis: `{at, share, isBad}` for each stripe that has any, `at` and the
 * width of a stripe as parts of the axis, `share` against the fullest one.
 */
export function densityOf(members, axis, now) {
  const stripes = Array.from({ length: STRIPES }, () => ({ count: 0, isBad: false }));
  const stripe = (time) =>
    Math.max(0, Math.min(STRIPES - 1, Math.floor((offsetOf(axis, time) / axis.span) * STRIPES)));
  for (const step of members) {
    const span = spanOf(step, now);
    if (!isOn(axis, span)) continue;
    for (let at = stripe(span.from); at <= stripe(span.to); at++) stripes[at].count += 1;
    if (step.status === "failed" && span.to <= axis.until) stripes[stripe(span.to)].isBad = true;
  }
  const most = Math.max(...stripes.map(({ count }) => count));
  return stripes
    .map(({ count, isBad }, at) => ({ at: at / STRIPES, width: 1 / STRIPES, share: count / most, isBad }))
    .filter(({ share }) => share > 0);
}
