// Icons: a status is shown by its shape and its word, never only by its colour.

import { TONES } from "../core/enums.js";
import { ms, plural, timeOfDay, visible } from "../core/format.js";
import { isPaused } from "../core/timeline.js";
import { html } from "../vendor/preact-htm.js";

const SHAPES = {
  succeeded: ["M3.5 8.5l3 3 6-7"],
  failed: ["M4 4l8 8M12 4l-8 8"],
  cancelled: ["M8 2.5a5.5 5.5 0 1 0 .01 0M4.2 11.8l7.6-7.6"],
  running: ["M8 2.5a5.5 5.5 0 1 1-5.5 5.5"],
  retrying: ["M12.8 6.2A5 5 0 1 0 13 9.4M13 2.8v3.6H9.4"],
  waiting: ["M6 4v8M10 4v8"],
  pending: ["M8 2.5a5.5 5.5 0 1 0 .01 0M8 5.2V8l2 1.6"],
  unknown: ["M5.8 6a2.2 2.2 0 1 1 3 2.1c-.6.3-.8.6-.8 1.2v.4M8 12v.1"],
  search: ["M7 2.5a4.5 4.5 0 1 0 .01 0M10.5 10.5l3 3"],
  copy: ["M6 6h7v7H6zM3 10V3h7"],
  close: ["M4 4l8 8M12 4l-8 8"],
  theme: ["M8 2.5a5.5 5.5 0 1 0 .01 0M8 2.5v11M8 5l4-.6M8 8h5.4M8 11l4 .6"],
  key: ["M5 8.5a2.5 2.5 0 1 0 .01 0M7 10l6-6M11 6l1.6 1.6"],
  check: ["M3.5 8.5l3 3 6-7"],
  warning: ["M8 2.5l6 11H2zM8 6.5v3.2M8 11.6v.1"],
  empty: ["M2.5 9.5l2-6h7l2 6v4h-11zM2.5 9.5h3.3l.7 1.6h3l.7-1.6h3.3"],
};

/** One of the shapes above, by its name. */
export function Icon({ name }) {
  const lines = SHAPES[name] ?? SHAPES.unknown;
  return html`
    <svg class="icon icon-${name}" viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      ${lines.map((d) => html`<path d=${d} />`)}
    </svg>
  `;
}

/** Says that a finished handler did not use all results of its steps; nothing when it used them. */
export function CodeChanged({ step: { unusedResults } }) {
  if (!unusedResults) return null;
  return html`
    <span class="badge is-warn" title="It never asked for these steps, so its code has probably changed">
      <${Icon} name="warning" />code changed? ${plural(unusedResults, "result")} not used
    </span>
  `;
}

/**
 * Says that a run is paused, `withTime` since when, or that a step rests; that its retries are used up
 * calls for a person.
 */
export function Paused({ step, withTime }) {
  const { paused, rests } = step;
  if (rests?.exhausted) {
    const why = "Its retries are used up. Resume the run to give it a fresh budget of attempts";
    return html`<span class="badge is-bad" title=${why}><${Icon} name="warning" />needs a resume</span>`;
  }
  if (!rests && !isPaused(step)) return null;
  const why = paused ? `${visible(paused.note || "Paused")}, since ${paused.since}` : "Its run is paused";
  return html`<span class="badge is-warn" title=${why}>
    <${Icon} name="pending" />${paused ? "paused" : "rests"}${
      paused && withTime && ` since ${timeOfDay(ms(paused.since))}`
    }
  </span>`;
}

// What a run waits for, with words; the first that holds is shown. A pause has a badge of its own.
const REASONS = { retry: "retrying", event: "event", timer: "timer", run: "child run", slot: "slot" };

/**
 * The status of a run or a step as a badge. Its handlers may still undo what they did: "cancelling".
 * `waitsFor` of a run, if it is known, says why it waits.
 */
export function Badge({ step: { status, cancelBy }, waitsFor = [] }) {
  const known = Object.hasOwn(SHAPES, status) ? status : "unknown";
  const until = cancelBy && `It may undo what it did until ${cancelBy}`;
  const reason = Object.keys(REASONS).find((each) => waitsFor.includes(each));
  const why = reason && REASONS[reason] !== status ? ` · ${REASONS[reason]}` : "";
  const tone = reason === "retry" ? "warn" : (TONES[status] ?? "calm");
  return html`<span class="badge is-${tone}" title=${until}>
    <${Icon} name=${known} />${cancelBy ? "cancelling" : status}${why}
  </span>`;
}
