// The attempts of a step, newest first, so that they can be compared: what each came to, how long it took,
// how long after the one before it began, and its error where it differs from the next older one.

import { duration, fullTime, ms, ticking, timeOfDay } from "../core/format.js";
import { isLive, outcomeOf } from "../core/timeline.js";
import { html, useState } from "../vendor/preact-htm.js";
import { later } from "./later.js";

const Compared = later(() => import("./compare-attempts.js").then((part) => part.Compared));
const OUTCOMES = {
  succeeded: "succeeded",
  retryable: "failed",
  permanent: "failed, no retry",
  suspended: "suspended, to wait",
  deferred: "deferred, not counted",
  no_answer: "lost, not counted",
  running: "running",
};

export function Attempts({ step, now }) {
  const log = step.attemptLog;
  if (!log.length) return html`<p class="soft">${isLive(step) ? "None yet." : "None."}</p>`;
  const longest = Math.max(1, ...log.map((attempt) => tookMs(step, attempt, now)));
  return html`
    ${
      step.attempts > log.length &&
      html`<p class="soft">The newest ${log.length} of ${step.attempts} are kept.</p>`
    }
    <ol class="attempts">
      ${log
        .map((attempt, at) => {
          const before = log[at - 1];
          const share = tookMs(step, attempt, now) / longest;
          return html`<${Attempt} key=${attempt.number} ...${{ step, attempt, before, share, now }} />`;
        })
        .reverse()}
    </ol>
  `;
}

const tookMs = (step, { startedAt, endedAt, duration: took }, now) =>
  endedAt === null ? (isLive(step) ? now - ms(startedAt) : 0) : took;

function Attempt({ step, attempt, before, share, now }) {
  const started = ms(attempt.startedAt);
  const isRunning = attempt.endedAt === null && isLive(step);
  const kind = outcomeOf(step, attempt);
  const isSame = before && errorOf(attempt) === errorOf(before);
  const pause = before?.endedAt && duration(started - ms(before.endedAt));
  const error = isSame ? `same error as #${before.number}` : errorOf(attempt);
  const isNewBuild = attempt.build && attempt.build !== before?.build;
  return html`
    <li>
      <span class="dot is-${kind}" aria-hidden="true" />
      <span class="attempt-number">#${attempt.number}</span>
      <span class="attempt-outcome">
        ${[outcomeInWords(step, attempt), attempt.status].filter(Boolean).join(" · ")}
      </span>
      <span class="attempt-took">${isRunning ? ticking(now - started) : duration(attempt.duration)}</span>
      <time class="soft" datetime=${attempt.startedAt} title=${fullTime(started)}>
        ${timeOfDay(started)}
      </time>
      <span class="attempt-bar" aria-hidden="true">
        <span class="is-${kind}" style=${{ width: `${share * 100}%` }} />
      </span>
      ${pause && html`<${More}>${pause} after #${before.number}<//>`}
      ${isNewBuild && html`<${More}>build <code>${attempt.build}</code><//>`}
      ${attempt.error && html`<${More}>${error}<//>`}
      ${attempt.late && html`<${More}>Answered late, which changed nothing: ${attempt.late}<//>`}
    </li>
  `;
}

const More = ({ children }) => html`<span class="attempt-more">${children}</span>`;

/** Closed at first; the last two attempts are chosen. */
export function CompareAttempts({ step }) {
  const log = step.attemptLog;
  const [isOpen, setOpen] = useState(false);
  if (log.length < 2) return null;
  return html`
    <details class="compare" onToggle=${(event) => setOpen(event.currentTarget.open)}>
      <summary>Compare two attempts</summary>
      ${isOpen && html`<${Compared} step=${step} log=${log} />`}
    </details>
  `;
}

/** What attempts with an outcome of this kind came to. */
export const kindInWords = (kind) => OUTCOMES[kind] ?? kind;

/** What an attempt of a step came to. */
export const outcomeInWords = (step, attempt) => kindInWords(outcomeOf(step, attempt));

/** The error of a step or of an attempt, with the name that its endpoint gave it. */
export function errorOf({ error, errorType }) {
  return errorType ? `${error} [${errorType}]` : error;
}
