// What lies over the shapes of a chart: a link for each bar, the numbers of one, and the choice of several.

import { shortTime } from "../core/format.js";
import { html, useRef, useState } from "../vendor/preact-htm.js";

const DAY_MS = 864e5;
const HALF_DAY_MS = DAY_MS / 2;
const MOVES = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };

/** The text of a value of a series; a gap has a dash. */
export const shown = (each, bucket, show) =>
  each.value(bucket) === null ? "–" : show(each.value(bucket));

// Bars of a day begin at midnight UTC, which is another hour elsewhere. Up to half a day, the date stands once.
const timeOf = ({ from, to }) =>
  `${shortTime(from, DAY_MS)} – ${shortTime(to, to - from > HALF_DAY_MS ? DAY_MS : HALF_DAY_MS)}`;

/** One stop of the Tab key for all bars; arrow keys move between them, and with Shift choose several. */
export function Links({ title, headline, buckets, series, show, linkOf }) {
  const last = buckets.length - 1;
  const { brush, group, isSpan, link } = useBrush(last, (first, end) =>
    linkOf({ from: buckets[first].from, to: buckets[end].to }),
  );
  const [at, setAt] = useState(null);
  const [stop, setStop] = useState(null);
  const look = (index) => {
    setAt(index);
    setStop(index);
  };
  const name = (bucket) =>
    [timeOf(bucket), ...series.map((each) => `${each.name} ${shown(each, bucket, show)}`)].join(", ");
  const span = isSpan && { from: buckets[brush[0]].from, to: buckets[brush[1]].to };
  return html`
    <div
      class="plot-links"
      role="group"
      aria-label="${title}: ${headline}. Each bar leads to its runs; Shift and an arrow key choose several."
      ...${group(at ?? last)}
      onPointerLeave=${() => setAt(null)}
    >
      ${buckets.map(
        (bucket, index) => html`
          <a
            key=${bucket.from}
            href=${linkOf(bucket)}
            aria-label=${name(bucket)}
            tabindex=${index === Math.min(stop ?? last, last) ? 0 : -1}
            draggable=${false}
            onPointerEnter=${() => setAt(index)}
            onFocus=${() => look(index)}
            onBlur=${() => setAt(null)}
            ...${link(index)}
          ></a>
        `,
      )}
      ${isSpan && html`<${Brush} brush=${brush} number=${buckets.length} />`}
      ${
        isSpan
          ? html`<${Tip} at=${brush[1]} name=${timeOf(span)} ...${{ buckets, series: [], show }} />`
          : at !== null &&
            buckets[at] &&
            html`<${Tip} name=${timeOf(buckets[at])} ...${{ at, buckets, series, show }} />`
      }
    </div>
    <span class="unseen" role="status">
      ${span && `${brush[1] - brush[0] + 1} bars, ${timeOf(span)}. Enter shows their runs.`}
    </span>
  `;
}

/**
 * The choice of several bars, by the pointer or by Shift and an arrow key: `brush` is the first and the
 * last of them. `group(at)` and `link(index)` are what the elements listen to.
 */
function useBrush(last, addressOf) {
  // Where the choice began, and where it is now.
  const [ends, setEnds] = useState(null);
  const pressed = useRef(null);
  const tapped = useRef(null);
  const brush = ends && [Math.min(...ends), Math.max(...ends)];
  const isSpan = Boolean(brush) && brush[0] < brush[1];
  const clear = () => {
    pressed.current = null;
    setEnds(null);
  };
  const open = (one, other) => {
    location.hash = addressOf(Math.min(one, other), Math.max(one, other));
  };
  const indexAt = ({ currentTarget, clientX }) => {
    const { left, width } = currentTarget.getBoundingClientRect();
    return Math.min(last, Math.max(0, Math.floor(((clientX - left) / width) * (last + 1))));
  };
  const group = (at) => ({
    onPointerDown: (event) => {
      setEnds(null);
      if (event.button === 0) pressed.current = indexAt(event);
    },
    onPointerMove: (event) => {
      const [from, to] = [pressed.current, indexAt(event)];
      if (from === null || (from === to && !ends)) return;
      // From now on also outside of the chart; and the end of it is no click on a bar.
      event.currentTarget.setPointerCapture(event.pointerId);
      setEnds([from, to]);
    },
    onPointerUp: (event) => {
      const [from, to] = [pressed.current, indexAt(event)];
      clear();
      if (from !== null && from !== to) open(from, to);
    },
    onPointerCancel: clear,
    onFocusOut: ({ currentTarget, relatedTarget }) => currentTarget.contains(relatedTarget) || clear(),
    onKeyDown: (event) => {
      if (event.key === "Escape") clear();
      if (!MOVES[event.key]) return;
      event.preventDefault();
      const to = Math.min(last, Math.max(0, at + MOVES[event.key]));
      setEnds(event.shiftKey ? [ends?.[0] ?? at, to] : null);
      event.currentTarget.querySelectorAll("a")[to].focus();
    },
  });
  // A finger cannot rest above a bar, so its first tap shows the numbers and the second follows the link.
  const link = (index) => ({
    onClick: (event) => {
      if (event.pointerType === "touch" && tapped.current !== index) event.preventDefault();
      tapped.current = index;
      if (!isSpan || event.detail) return;
      event.preventDefault();
      open(...ends);
    },
  });
  return { brush, isSpan, group, link };
}

function Brush({ brush: [first, last], number }) {
  const style = { left: `${(first / number) * 100}%`, width: `${((last - first + 1) / number) * 100}%` };
  return html`<span class="brush" style=${style} />`;
}

function Tip({ at, name, buckets, series, show }) {
  const share = (at + 0.5) / buckets.length;
  const place = share < 0.5 ? { left: `${share * 100}%` } : { right: `${(1 - share) * 100}%` };
  return html`
    <div class="tip" style=${place} aria-hidden="true">
      <strong>${name}</strong>
      ${series.map(
        (each) => html`
          <span><span class="swatch series-${each.tone}" />${each.name}</span>
          <span class="tip-value">${shown(each, buckets[at], show)}</span>
        `,
      )}
    </div>
  `;
}
