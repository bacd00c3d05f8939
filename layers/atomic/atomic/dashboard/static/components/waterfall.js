// The run on a time axis: a row for each step, a bar for each attempt, and hatching for waits.

import { axisOf, extentOf, nearer, offsetOf, ticksOf } from "../core/axis.js";
import { duration, roundDuration } from "../core/format.js";
import { foundRows, groupOf, rowsOf, toggled } from "../core/rows.js";
import { html, useLayoutEffect, useMemo, useRef, useState } from "../vendor/preact-htm.js";
import { showRow, useRowsInSight } from "./virtual-rows.js";
import { along, GroupRow, StepRow } from "./waterfall-row.js";
import { Tools } from "./waterfall-tools.js";

const LEGEND = [
  ["succeeded", "succeeded"],
  ["retryable", "failed, retried"],
  ["permanent", "failed, no retry"],
  ["running", "running"],
  ["suspended", "suspended"],
  ["backoff", "back-off"],
  ["waiting", "waiting"],
  ["dead", "until a redrive"],
];
const NOTHING_FOUND = { text: "", only: "" };

/**
 * `run` comes from core/api.js; `chosen` is the step in the panel, `shown` the id of the one to scroll to.
 * `choose(id, byKeyboard)` is called for the row that is pressed.
 */
export function Waterfall({ run, chosen, shown, now, choose }) {
  const [wanted, setWanted] = useState(NOTHING_FOUND);
  const [open, setOpen] = useState(new Set());
  const [zoom, setZoom] = useState(null);
  const list = useRef();
  const extent = useMemo(() => extentOf(run), [run]);
  const axis = axisOf(extent, now, zoom);
  const isFiltered = Boolean(wanted.text.trim() || wanted.only);
  const rows = useMemo(
    () => (isFiltered ? foundRows(run, wanted) : rowsOf(run, open)),
    [run, wanted, open, isFiltered],
  );
  const toggle = (key) => setOpen(toggled(open, key));
  useShown({ run, rows, open, toggle, list, shown });
  const { first, last, height } = useRowsInSight(list, rows.length);
  const click = (event) => {
    const row = event.target.closest(".row");
    if (row?.dataset.group) toggle(row.dataset.group);
    else if (row) choose(row.dataset.step, event.detail === 0);
  };
  const zoomTo = (way) => setZoom(way ? nearer(axis, chosen, now) : null);
  const ticks = ticksOf(axis, 6, extent.from);
  const style = {
    "--tick": axis.breaks.length ? "100%" : share(ticks[1]?.at ?? axis.span, axis.span),
    "--ms": share(1, axis.span),
    paddingBlock: `${first * height}px ${Math.max(0, rows.length - last) * height}px`,
  };
  return html`
    <section class="waterfall" aria-label="Steps on a time axis">
      <div class="waterfall-head">
        <${Tools} ...${{ run, wanted, setWanted, isZoomed: Boolean(zoom), zoomTo }} />
        <${Axis} ticks=${ticks} axis=${axis} />
      </div>
      <div class="lanes" style=${{ "--ms": share(1, axis.span) }}>
        <ol class="rows" ref=${list} style=${style} onClick=${click} onKeyDown=${moveFocus}>
          ${rows.slice(first, last).map((row, at) => {
            const place = { position: first + at + 1, size: rows.length };
            if (row.members) return html`<${GroupRow} key=${row.key} ...${{ row, axis, now, place }} />`;
            const isChosen = chosen?.id === row.step.id;
            return html`<${StepRow} key=${row.key} ...${{ ...row, axis, now, place, isChosen }} />`;
          })}
        </ol>
        ${rows.length === 0 && html`<${NoneFits} showAll=${() => setWanted(NOTHING_FOUND)} />`}
        <${Marks} axis=${axis} now=${now} isLive=${extent.isLive} />
      </div>
      <${Legend} />
    </section>
  `;
}

/** Open the group of the step to show, and scroll to its row, once for each step. */
function useShown({ run, rows, open, toggle, list, shown }) {
  const done = useRef("");
  useLayoutEffect(() => {
    if (done.current === shown) return;
    const group = shown && groupOf(run, shown);
    const index = rows.findIndex(({ key }) => key === shown);
    if (index < 0 && group && !open.has(group)) return void toggle(group);
    done.current = shown;
    if (index >= 0) showRow(list.current, index);
  });
}

function NoneFits({ showAll }) {
  return html`
    <p class="nothing">
      No step fits. <button type="button" class="link" onClick=${showAll}>Show all</button>
    </p>
  `;
}

const share = (part, whole) => `${(part / whole) * 100}%`;

function Axis({ ticks, axis }) {
  const shown = ticks.filter(({ at }) => at / axis.span < 0.93);
  return html`
    <div class="axis" aria-hidden="true">
      <span class="axis-step">Step</span>
      <div class="axis-ticks">
        ${shown.map(
          ({ at, time }) => html`
            <span style=${{ left: share(at, axis.span) }}>${time ? roundDuration(time) : "0"}</span>
          `,
        )}
      </div>
      <span class="axis-took">Duration</span>
    </div>
  `;
}

/** What stands across all rows: the present, and marks where the axis leaves time out. */
function Marks({ axis, now, isLive }) {
  const at = offsetOf(axis, now);
  return html`
    <div class="marks" aria-hidden="true">
      <div class="lane-marks">
        ${axis.breaks.map((gap) => {
          const from = offsetOf(axis, gap.from);
          return html`
            <span class="break" style=${{ left: along(from), width: along(gap.drawn) }}>
              <span>${duration(gap.to - gap.from)}</span>
            </span>
          `;
        })}
        ${isLive && at >= 0 && at <= axis.span && html`<span class="now" style=${{ left: along(at) }} />`}
      </div>
    </div>
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

function moveFocus(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step) return;
  const rows = [...event.currentTarget.querySelectorAll(".row")];
  const next = rows[rows.indexOf(document.activeElement) + step];
  if (!next) return;
  event.preventDefault();
  next.focus();
}
