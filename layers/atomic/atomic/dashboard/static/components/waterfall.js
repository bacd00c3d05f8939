// The run on a time axis: a row for each step, a bar for each attempt, hatching for what it waited for.

import { h, memo } from "../core/dom.js";
import { duration, ms, plural, roundDuration, ticking } from "../core/format.js";
import { isLive, nextOf, rangeOf, segmentsOf, ticksOf, treeOf } from "../core/timeline.js";
import { badge } from "./icons.js";

const WORDS = {
  succeeded: "succeeded",
  retryable: "failed, to be retried",
  permanent: "failed for good",
  suspended: "handed back to wait for other steps",
  deferred: "deferred: Atomic refused its posts, not counted",
  no_answer: "lost by Atomic, not counted",
  running: "running",
};
const DEPTH_SHOWN = 8;

/** `run` as the API file gives it; `chosen` is the id of the chosen step. */
export function waterfall({ run, chosen, now, choose }) {
  const range = rangeOf(run.root, run.steps, now);
  const span = range.to - range.from;
  const ticks = ticksOf(span, 6);
  return h(
    "section",
    { class: "waterfall", "aria-label": "Steps on a time axis" },
    h(
      "div",
      { class: "axis", "aria-hidden": "true" },
      h("span", { class: "axis-step" }, "Step"),
      h(
        "div",
        { class: "axis-ticks" },
        ticks
          .filter((tick) => tick / span < 0.93)
          .map((tick) =>
            h("span", { style: { left: `${(tick / span) * 100}%` } }, tick ? roundDuration(tick) : "0"),
          ),
      ),
      h("span", { class: "axis-took" }, "Took"),
    ),
    h(
      "ol",
      {
        class: "rows",
        style: { "--tick": `${((ticks[1] ?? span) / span) * 100}%` },
        on: { keydown: moveFocus },
      },
      treeOf(run.root, run.steps).map(({ step, depth }) =>
        memo(
          step.id,
          // A settled step is drawn anew only when the axis or the choice changes.
          [
            JSON.stringify(step.attemptLog),
            step.status,
            step.dueAt,
            range.from,
            range.to,
            chosen === step.id,
            isLive(step) && now,
          ],
          () => row({ step, depth, range, now, isChosen: chosen === step.id, choose }),
        ),
      ),
    ),
    legend(),
  );
}

function row({ step, depth, range, now, isChosen, choose }) {
  const segments = segmentsOf(step, now);
  return h(
    "li",
    null,
    h(
      "button",
      {
        type: "button",
        class: `row ${isChosen ? "chosen" : ""}`,
        "aria-pressed": String(isChosen),
        "aria-label": inWords(step, now),
        "data-step": step.id,
        on: { click: () => choose(step.id) },
      },
      h(
        "span",
        {
          class: "row-name",
          style: { "padding-inline-start": `calc(${Math.min(depth, DEPTH_SHOWN)} * var(--space-4))` },
        },
        badge(step.status),
        h("span", { class: "row-title", title: step.stepInvokeUrl ?? step.kind }, nameOf(step)),
        step.attempts > 1 &&
          h("span", { class: "row-tries", title: plural(step.attempts, "attempt") }, `×${step.attempts}`),
      ),
      h(
        "span",
        { class: "lane" },
        segments.map((part) => bar(part, range)),
        nextMark(step, range, now),
      ),
      h("span", { class: "row-took" }, tookOf(step, now)),
    ),
  );
}

function bar(part, range) {
  const span = range.to - range.from;
  const left = Math.max(0, (part.from - range.from) / span);
  const width = Math.min(1, (part.to - range.from) / span) - left;
  const took = duration(part.to - part.from);
  const title = part.attempt
    ? [`Attempt ${part.attempt.number}: ${WORDS[part.kind]}`, part.attempt.status, took, part.attempt.error]
        .filter(Boolean)
        .join(" · ")
    : `${part.label} · ${took}`;
  return h("span", {
    class: `bar is-${part.kind}`,
    title,
    style: { left: `${left * 100}%`, width: `${Math.max(0, width) * 100}%` },
  });
}

function nextMark(step, range, now) {
  const next = nextOf(step);
  if (!next || (next.at <= now && step.status === "pending")) return null;
  const at = Math.min(1, (next.at - range.from) / (range.to - range.from));
  const text = next.at > now ? `${next.verb} in ${ticking(next.at - now + 999)}` : "retry is due";
  return h(
    "span",
    { class: `next ${at > 0.75 ? "to-left" : ""}`, style: { left: `${at * 100}%` } },
    h("span", null, text),
  );
}

function legend() {
  const entries = [
    ["succeeded", "succeeded"],
    ["retryable", "failed, retried"],
    ["permanent", "failed, no retry"],
    ["running", "running"],
    ["suspended", "handed back"],
    ["backoff", "back-off"],
    ["waiting", "waiting"],
  ];
  return h(
    "ul",
    { class: "legend", "aria-label": "What the bars mean" },
    entries.map(([kind, text]) =>
      h("li", null, h("span", { class: `bar is-${kind}`, "aria-hidden": "true" }), text),
    ),
  );
}

/** What a step is called: its name, or the last part of its URL. */
export function nameOf(step) {
  if (step.stepName) return step.stepName;
  if (step.parent === null) return step.workflowName;
  const path = (step.stepInvokeUrl ?? step.kind).split("?")[0].replace(/\/+$/, "");
  return path.slice(path.lastIndexOf("/") + 1) || path;
}

export function tookOf(step, now) {
  const from = ms(step.createdAt);
  return step.finishedAt ? duration(ms(step.finishedAt) - from) : ticking(now - from);
}

function inWords(step, now) {
  const retry = step.status === "retrying" && step.dueAt ? ", to be retried" : "";
  const tries = plural(step.attempts, "attempt");
  return `${nameOf(step)}: ${step.status}${retry}, ${tries}, ${tookOf(step, now)}`;
}

function moveFocus(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step) return;
  const rows = [...event.currentTarget.querySelectorAll(".row")];
  const next = rows[rows.indexOf(document.activeElement) + step];
  if (!next) return;
  event.preventDefault();
  next.focus();
}
