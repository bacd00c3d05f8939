// The run on a time axis: a row for each step, a bar for each attempt, and hatching for waits.

import { duration, ms, plural, roundDuration, ticking } from "../core/format.js";
import { isLive, nextOf, rangeOf, segmentsOf, ticksOf, treeOf } from "../core/timeline.js";
import { html, useMemo } from "../vendor/preact-htm.js";
import { Badge, Icon, Paused } from "./icons.js";

const WORDS = {
  succeeded: "succeeded",
  retryable: "failed, to be retried",
  permanent: "failed, no retry",
  suspended: "suspended, to wait for other steps",
  deferred: "deferred by Atomic, not counted",
  no_answer: "lost by Atomic, not counted",
  running: "running",
};
const LEGEND = [
  ["succeeded", "succeeded"],
  ["retryable", "failed, retried"],
  ["permanent", "failed, no retry"],
  ["running", "running"],
  ["suspended", "handed back"],
  ["backoff", "back-off"],
  ["waiting", "waiting"],
];
const DEPTH_SHOWN = 8;

/** `run` comes from core/api.js; `chosen` is the id of the chosen step; a click calls `choose(id)`. */
export function Waterfall({ run, chosen, now, choose }) {
  const range = rangeOf(run.root, run.steps, now);
  const span = range.to - range.from;
  const ticks = ticksOf(span, 6);
  const hasLive = [run.root, ...run.steps].some(isLive);
  // The rows of a run that has ended do not change until the run is read again.
  const rows = useMemo(
    () =>
      treeOf(run.root, run.steps).map(
        ({ step, depth }) => html`
          <${Row} key=${step.id} ...${{ step, depth, range, now, isChosen: chosen === step.id }} />
        `,
      ),
    [run, chosen, hasLive && now],
  );
  // One handler for all rows, because a row is not drawn again when another one is chosen.
  const click = ({ target }) => {
    const row = target.closest("[data-step]");
    if (row) choose(row.dataset.step);
  };
  return html`
    <section class="waterfall" aria-label="Steps on a time axis">
      <${Axis} ticks=${ticks} span=${span} />
      <ol
        class="rows"
        style=${{ "--tick": share(ticks[1] ?? span, span), "--ms": share(1, span) }}
        onClick=${click}
        onKeyDown=${moveFocus}
      >
        ${rows}
      </ol>
      <${Legend} />
    </section>
  `;
}

const share = (part, whole) => `${(part / whole) * 100}%`;

function Axis({ ticks, span }) {
  const shown = ticks.filter((tick) => tick / span < 0.93);
  return html`
    <div class="axis" aria-hidden="true">
      <span class="axis-step">Step</span>
      <div class="axis-ticks">
        ${shown.map(
          (tick) => html`
            <span style=${{ left: share(tick, span) }}>${tick ? roundDuration(tick) : "0"}</span>
          `,
        )}
      </div>
      <span class="axis-took">Took</span>
    </div>
  `;
}

/** A settled step is drawn again only when it is chosen; CSS places its bars by the scale of the axis. */
function Row({ step, depth, range, now, isChosen }) {
  return useMemo(
    () => drawnRow({ step, depth, range, now, isChosen }),
    [
      JSON.stringify(step.attemptLog),
      step.status,
      step.dueAt,
      depth,
      isChosen,
      isLive(step) && now,
    ],
  );
}

function drawnRow({ step, depth, range, now, isChosen }) {
  const indent = `calc(${Math.min(depth, DEPTH_SHOWN)} * var(--space-4))`;
  return html`
    <li>
      <button
        type="button"
        class="row ${isChosen ? "chosen" : ""}"
        aria-pressed=${isChosen}
        aria-label=${inWords(step, now)}
        data-step=${step.id}
      >
        <span class="row-name" style=${{ paddingInlineStart: indent }}>
          <${Badge} step=${step} /><${Paused} step=${step} />
          <span class="row-title" title=${step.stepInvokeUrl ?? step.kind}>${nameOf(step)}</span>
          ${
            step.attempts > 1 &&
            html`<span class="row-tries" title=${plural(step.attempts, "attempt")}>×${step.attempts}</span>`
          }
          ${
            step.unusedResults > 0 &&
            html`<span class="row-changed" title="Code changed?"><${Icon} name="warning" /></span>`
          }
        </span>
        <span class="lane">
          ${segmentsOf(step, now).map((part) => html`<${Bar} part=${part} range=${range} />`)}
          <${NextMark} ...${{ step, range, now }} />
        </span>
        <span class="row-took">${tookOf(step, now)}</span>
      </button>
    </li>
  `;
}

function Bar({ part, range }) {
  const from = Math.max(part.from, range.from);
  const to = Math.max(from, Math.min(part.to, range.to));
  const style = { left: along(from - range.from), width: along(to - from) };
  return html`<span class="bar is-${part.kind}" title=${titleOf(part)} style=${style} />`;
}

/** The position on the axis of a time in milliseconds. */
const along = (time) => `calc(${time} * var(--ms))`;

function titleOf({ from, to, kind, attempt, label }) {
  const took = duration(to - from);
  if (!attempt) return `${label} · ${took}`;
  return [`Attempt ${attempt.number}: ${WORDS[kind] ?? kind}`, attempt.status, took, attempt.error]
    .filter(Boolean)
    .join(" · ");
}

function NextMark({ step, range, now }) {
  const next = nextOf(step);
  if (!next || (next.at <= now && step.status === "pending")) return null;
  const from = Math.min(next.at, range.to) - range.from;
  const isLate = from > 0.75 * (range.to - range.from);
  const text = next.at > now ? `${next.verb} in ${ticking(next.at - now + 999)}` : "retry is due";
  return html`
    <span class="next ${isLate ? "to-left" : ""}" style=${{ left: along(from) }}>
      <span>${text}</span>
    </span>
  `;
}

function Legend() {
  return html`
    <ul class="legend" aria-label="What the bars mean">
      ${LEGEND.map(
        ([kind, text]) => html`<li><span class="bar is-${kind}" aria-hidden="true" />${text}</li>`,
      )}
    </ul>
  `;
}

/** The name of a step, or the last part of its URL. */
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
  const changed = step.unusedResults > 0 ? ", code changed?" : "";
  return `${nameOf(step)}: ${step.status}${retry}, ${tries}, ${tookOf(step, now)}${changed}`;
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
