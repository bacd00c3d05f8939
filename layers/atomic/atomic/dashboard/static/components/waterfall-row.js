// One row of the waterfall: a step with a bar for each attempt, or a group of steps of one name.

import { isOn, offsetOf, sideOf } from "../core/axis.js";
import { count, duration, ms, plural, ticking } from "../core/format.js";
import { countsOf, densityOf, isRetried, nameOf } from "../core/rows.js";
import { heldBy, isLive, nextOf, segmentsOf } from "../core/timeline.js";
import { html, useMemo } from "../vendor/preact-htm.js";
import { kindInWords } from "./attempts.js";
import { Badge, Icon, Paused } from "./icons.js";

const DEPTH_SHOWN = 8;

export function tookOf(step, now) {
  const from = ms(step.createdAt);
  return step.finishedAt ? duration(ms(step.finishedAt) - from) : ticking(now - from);
}

/** A settled step is drawn again only when it is chosen; CSS places its bars by the scale of the axis. */
export function StepRow(row) {
  const { step, root, depth, axis, now, isChosen, place } = row;
  const ofLive = isLive(step) ? [now, root] : [];
  return useMemo(
    () => drawnStep(row),
    [step, depth, isChosen, place.position, place.size, axisKey(axis), ...ofLive],
  );
}

const axisKey = ({ from, until, breaks }) => JSON.stringify([from, until, breaks]);
const indentOf = (depth) => `calc(${Math.min(depth, DEPTH_SHOWN)} * var(--space-4))`;

function drawnStep({ step, root, depth, axis, now, isChosen, place }) {
  const side = sideOf(axis, [step], now);
  const held = heldBy(step, root);
  return html`
    <li aria-setsize=${place.size} aria-posinset=${place.position}>
      <button
        type="button"
        class="row ${isChosen ? "chosen" : ""}"
        aria-pressed=${isChosen}
        aria-label=${inWords(step, now, held) + sideInWords(side)}
        data-step=${step.id}
      >
        <span class="row-name" style=${{ paddingInlineStart: indentOf(depth) }}>
          <${Badge} step=${step} /><${Paused} step=${step} />
          <span class="row-title" title=${step.stepInvokeUrl ?? step.kind}>${nameOf(step)}</span>
          ${isRetried(step) && html`<${Retries} step=${step} />`}
          ${
            step.unusedResults > 0 &&
            html`<span class="row-changed" title="Code changed?"><${Icon} name="warning" /></span>`
          }
        </span>
        <span class="lane">
          ${segmentsOf(step, now, held).map((part) => html`<${Bar} part=${part} axis=${axis} />`)}
          <${Side} side=${side} />
          <${NextMark} ...${{ step, root, held, axis, now }} />
        </span>
        <span class="row-took">${tookOf(step, now)}</span>
      </button>
    </li>
  `;
}

function Retries({ step: { retriesUsed, generation } }) {
  const redriven = generation > 1 ? `, redriven ${plural(generation - 1, "time")}` : "";
  const text = `${count(retriesUsed)} ${retriesUsed === 1 ? "retry" : "retries"}${redriven}`;
  return html`<span class="row-tries" title=${text}>↻${retriesUsed || ""}</span>`;
}

/** A group of siblings: how many of them are where on the axis. A click opens or closes it. */
export function GroupRow({ row: { key, name, members, depth, isOpen }, axis, now, place }) {
  const counts = countsOf(members);
  const states = Object.entries(counts)
    .map(([status, number]) => `${count(number)} ${status}`)
    .join(", ");
  const isGroupLive = members.some(isLive);
  const stripes = densityOf(members, axis, now);
  const side = sideOf(axis, members, now);
  return html`
    <li aria-setsize=${place.size} aria-posinset=${place.position}>
      <button
        type="button"
        class="row group"
        aria-expanded=${isOpen}
        aria-label="${name}, ${plural(members.length, "step")}: ${states}${sideInWords(side)}"
        data-group=${key}
      >
        <span class="row-name" style=${{ paddingInlineStart: indentOf(depth) }}>
          <span class="fold" aria-hidden="true" />
          <span class="row-title">${name}</span>
          <span class="row-count">×${count(members.length)}</span>
        </span>
        <span class="lane" title=${states}>
          ${stripes.map(
            ({ at, width, share, isBad }) => html`
              <span
                class="stripe ${isBad ? "is-bad" : isGroupLive ? "is-live" : ""}"
                style=${{ left: part(at), width: part(width), height: part(0.25 + 0.55 * share) }}
              />
            `,
          )}
          <${Side} side=${side} />
        </span>
        <span class="row-took">${counts.failed ? `${count(counts.failed)} failed` : ""}</span>
      </button>
    </li>
  `;
}

const part = (share) => `${share * 100}%`;

/** A mark at the edge of a lane in which nothing is, because it was before or comes after. */
const Side = ({ side }) =>
  side && html`<span class="side is-${side}">${side === "after" ? "▸" : "◂"}</span>`;
const sideInWords = (side) => side && `, ${side} the time shown`;

function Bar({ part, axis }) {
  if (!isOn(axis, part)) return null;
  const from = Math.max(0, offsetOf(axis, part.from));
  const to = Math.max(from, offsetOf(axis, part.to));
  const style = { left: along(from), width: along(to - from) };
  return html`<span class="bar is-${part.kind}" title=${titleOf(part)} style=${style} />`;
}

/** The position on the axis of a time in milliseconds. */
export const along = (time) => `calc(${time} * var(--ms))`;

function titleOf({ from, to, kind, attempt, label }) {
  const took = duration(to - from);
  if (!attempt) return `${label} · ${took}`;
  return [`Attempt ${attempt.number}: ${kindInWords(kind)}`, attempt.status, took, attempt.error]
    .filter(Boolean)
    .join(" · ");
}

function NextMark({ step, root, held, axis, now }) {
  if (held) return html`<${Mark} axis=${axis} at=${now} text=${`paused for ${pausedFor(held, now)}`} />`;
  const next = nextOf(step, root);
  if (!next || (next.at <= now && step.status === "pending")) return null;
  // An arrow for a moment that is later than the end of the axis.
  const beyond = next.at > axis.to ? " →" : "";
  const text = next.at > now ? `${next.verb} in ${ticking(next.at - now + 999)}${beyond}` : "retry is due";
  return html`<${Mark} axis=${axis} at=${next.at} text=${text} />`;
}

const pausedFor = ({ since }, now) => ticking(now - ms(since));

/** A mark on the axis with a text beside it; at its end, if the time is later. */
function Mark({ axis, at, text }) {
  if (at < axis.from || at > axis.until) return null;
  const from = offsetOf(axis, Math.min(at, axis.to));
  const isLate = from > 0.75 * axis.span;
  return html`
    <span class="next ${isLate ? "to-left" : ""}" style=${{ left: along(from) }}>
      <span>${text}</span>
    </span>
  `;
}

function inWords(step, now, held) {
  const retry = step.status === "retrying" && step.dueAt ? ", to be retried" : "";
  const then = held ? ", paused" : retry;
  const tries = plural(step.attempts, "attempt");
  const changed = step.unusedResults > 0 ? ", code changed?" : "";
  return `${nameOf(step)}: ${step.status}${then}, ${tries}, ${tookOf(step, now)}${changed}`;
}
