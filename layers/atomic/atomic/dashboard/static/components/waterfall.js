// The run on a time axis: a row for each step, a bar for each attempt, and hatching for waits.

import { axisOf, extentOf, nearer, offsetOf, ticksOf } from "../core/axis.js";
import { duration } from "../core/format.js";
import { foundRows, groupOf, rowsOf } from "../core/rows.js";
import { toggled } from "../core/toggled.js";
import { html, useLayoutEffect, useMemo, useRef, useState } from "../vendor/preact-htm.js";
import { showRow, useRowsInSight } from "./virtual-rows.js";
import { along, GroupRow, StepRow, Stripes } from "./waterfall-row.js";
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
// With fewer steps, most rows are in sight.
const STRIP_FROM = 30;
// The text of a tick so far on the right stands on its left, where a phone has room for it.
const LATE = 0.84;
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
  const keys = useArrowKeys(list);
  const click = (event) => {
    const row = event.target.closest(".row");
    if (row?.dataset.group) toggle(row.dataset.group);
    else if (row) choose(row.dataset.step, event.detail === 0);
  };
  const zoomTo = (way) => setZoom(way ? nearer(extent, zoom, chosen, now) : null);
  const ticks = ticksOf(axis, 5, extent.from);
  // Lines stand at equal distances, which ticks have only where no time is left out.
  const [begin = 0, second = axis.span] = axis.breaks.length ? [] : ticks.map(({ at }) => at);
  const style = {
    "--first": share(begin, axis.span),
    "--tick": share(second - begin, axis.span),
    paddingBlock: `${first * height}px ${Math.max(0, rows.length - last) * height}px`,
  };
  return html`
    <section class="waterfall" aria-label="Steps on a time axis">
      <div class="waterfall-head">
        <${Tools} ...${{ run, wanted, setWanted, isZoomed: zoom, zoomTo }} />
        <${Axis} ...${{ ticks, axis, extent }} />
        ${run.steps.length >= STRIP_FROM && html`<${Strip} ...${{ run, axis, now }} />`}
      </div>
      <div class="lanes" style=${{ "--ms": share(1, axis.span) }}>
        <${Marks} axis=${axis} now=${now} isLive=${extent.isLive} />
        <ol class="rows" ref=${list} style=${style} onClick=${click} ...${keys}>
          ${rows.slice(first, last).map((row, at) => {
            const place = { position: first + at + 1, size: rows.length };
            if (row.members) return html`<${GroupRow} key=${row.key} ...${{ row, axis, now, place }} />`;
            const isChosen = chosen?.id === row.step.id;
            return html`
              <${StepRow} key=${row.key} ...${{ ...row, root: run.root, axis, now, place, isChosen }} />
            `;
          })}
        </ol>
        ${rows.length === 0 && html`<${NoneFits} showAll=${() => setWanted(NOTHING_FOUND)} />`}
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

/** The ticks; if the axis leaves time out, also its end, and below the ticks how much time is left out. */
function Axis({ ticks, axis, extent }) {
  const { to, span, breaks } = axis;
  const shown = ticks.filter(({ at }) => at / span < (breaks.length ? 0.7 : 0.93));
  return html`
    <div class="axis" aria-hidden="true">
      <span class="axis-step">Step</span>
      <div class="axis-ticks">
        ${shown.map(({ at, text }) => {
          const place = at / span > LATE ? "late" : "";
          return html`<span class=${place} style=${{ left: share(at, span) }}>${text}</span>`;
        })}
        ${breaks.length > 0 && html`<span style=${{ right: 0 }}>${duration(to - extent.from)}</span>`}
        ${breaks.map((gap) => {
          const left = share(offsetOf(axis, gap.from) + gap.drawn / 2, span);
          const maxWidth = share(gap.drawn, span);
          // The end of the axis tells what is left out there.
          const text = duration(gap.to - gap.from);
          return !gap.isOpen && html`<span class="cut" style=${{ left, maxWidth }}>${text}</span>`;
        })}
      </div>
      <span class="axis-took">Duration</span>
    </div>
  `;
}

/** When the steps of the whole run were live, and where some of them failed, also while rows scroll. */
function Strip({ run: { steps }, axis, now }) {
  return html`
    <div class="axis strip" aria-hidden="true">
      <span class="axis-step">All steps</span>
      <span class="lane"><${Stripes} members=${steps} ...${{ axis, now }} /></span>
    </div>
  `;
}

/** What stands behind all rows: the present, and where the axis leaves time out. */
function Marks({ axis, now, isLive }) {
  const at = offsetOf(axis, now);
  return html`
    <div class="marks" aria-hidden="true">
      <div class="lane-marks">
        ${axis.breaks.map(({ from, drawn }) => {
          const style = { left: along(offsetOf(axis, from)), width: along(drawn) };
          return html`<span class="break" style=${style} />`;
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

/**
 * Arrow keys move between the rows. A row that is scrolled away loses the focus; then they go to the first
 * row in sight.
 */
function useArrowKeys(list) {
  const last = useRef();
  useLayoutEffect(() => {
    const pressed = (event) => {
      if (!stepOf(event) || document.activeElement !== document.body) return;
      if (last.current?.isConnected !== false) return;
      const head = list.current.closest(".waterfall").querySelector(".waterfall-head");
      const top = (node) => node.getBoundingClientRect().top;
      const bottom = top(head) + head.offsetHeight;
      const row = [...list.current.querySelectorAll(".row")].find((each) => top(each) >= bottom);
      if (!row) return;
      event.preventDefault();
      row.focus();
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, []);
  const onFocusCapture = ({ target }) => {
    last.current = target.closest(".row");
  };
  return { onKeyDown: moveFocus, onFocusCapture };
}

const stepOf = ({ key }) => ({ ArrowDown: 1, ArrowUp: -1 })[key];

function moveFocus(event) {
  const step = stepOf(event);
  if (!step) return;
  const rows = [...event.currentTarget.querySelectorAll(".row")];
  const next = rows[rows.indexOf(document.activeElement) + step];
  if (!next) return;
  event.preventDefault();
  next.focus();
}
