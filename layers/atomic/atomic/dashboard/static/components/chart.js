// Charts over time: an SVG for the shapes, HTML for the texts, links to the runs of each bar, and a table
// with the same numbers.

import { shortTime } from "../core/format.js";
import { timeTicks } from "../core/time-ticks.js";
import { html } from "../vendor/preact-htm.js";
import { Links, shown } from "./chart-links.js";
import { Table } from "./widgets.js";

const HIGH = 100;
const DAY_MS = 864e5;
const TICKS_MAX = 5;
const TICKS_UNTIL = 0.84;
const TIME_TOPS = [
  ...[1, 2, 4, 10, 20, 40, 100, 200, 400],
  ...[1e3, 6e4].flatMap((unit) => [1, 2, 4, 6, 8, 10, 20, 40].map((number) => number * unit)),
  ...[1, 2, 4, 8, 12, 24, 48, 96, 192].map((number) => number * 36e5),
];

/**
 * `series`: `{name, kind, tone, value(bucket)}` with kind `bar` (stacked) or `line`; null leaves a gap.
 * `show(number)` returns the text of a value; `headline` is shown beside the title. `linkOf(bucket)` is the
 * address of the runs of a bar. `isTime`: values are milliseconds.
 */
export function Chart({ title, headline, buckets, series, show, linkOf, isTime = false }) {
  const bars = series.filter((each) => each.kind === "bar");
  const lines = series.filter((each) => each.kind === "line");
  const top = topOf(buckets, bars, lines, isTime ? timeTop : niceTop);
  return html`
    <figure class="chart">
      <figcaption>
        <span class="chart-title">${title}</span><span class="chart-now">${headline}</span>
      </figcaption>
      <div class="plot">
        <${Scale} top=${top} show=${show} />
        <svg viewBox="0 0 ${buckets.length} ${HIGH}" preserveAspectRatio="none" aria-hidden="true">
          ${buckets.map((bucket, at) => html`<${Column} ...${{ bucket, at, bars, top }} />`)}
          ${lines.map((each) => html`<${Line} ...${{ buckets, each, top }} />`)}
        </svg>
        <${Links} ...${{ title, headline, buckets, series, show, linkOf }} />
      </div>
      <${Times} from=${buckets[0].from} to=${buckets.at(-1).to} />
      ${series.length > 1 && html`<${Legend} series=${series} />`}
      <${Numbers} ...${{ title, buckets, series, show }} />
    </figure>
  `;
}

/** The numbers beside the bars; without a value above zero, words in place of an empty chart. */
function Scale({ top, show }) {
  if (!top) return html`<span class="plot-none">none in this time</span>`;
  return html`
    <span class="plot-top" aria-hidden="true">${show(top)}</span>
    <span class="plot-middle" aria-hidden="true">${show(top / 2)}</span>
    <span class="plot-zero" aria-hidden="true">0</span>
  `;
}

/** Round times below the bars, as far as there is room before the last word. */
function Times({ from, to }) {
  const part = (at) => (at - from) / (to - from);
  const ticks = timeTicks(from, to, TICKS_MAX).filter(({ at }) => part(at) < TICKS_UNTIL);
  return html`
    <div class="plot-times" aria-hidden="true">
      ${ticks.map(({ at, text }) => html`<span style=${{ left: `${part(at) * 100}%` }}>${text}</span>`)}
      <span class="plot-now">now</span>
    </div>
  `;
}

function topOf(buckets, bars, lines, rounded) {
  const sums = buckets.map((bucket) => bars.reduce((sum, each) => sum + each.value(bucket), 0));
  const values = lines.flatMap((each) => buckets.map(each.value)).filter((value) => value !== null);
  // Half of one run is no number for an axis.
  const least = bars.length && Math.max(...sums) > 0 ? 2 : 0;
  return rounded(Math.max(least, ...sums, ...values));
}

function Column({ bucket, at, bars, top }) {
  let base = HIGH;
  return bars.map((each) => {
    const height = (each.value(bucket) / (top || 1)) * (HIGH - 4);
    base -= height;
    return (
      height > 0 &&
      html`<rect class="series-${each.tone}" x=${at + 0.12} y=${base} width="0.76" height=${height} />`
    );
  });
}

function Line({ buckets, each, top }) {
  let line = "";
  let dots = "";
  let before = null;
  buckets.forEach((bucket, index) => {
    const value = each.value(bucket);
    if (value !== null) {
      const point = `${index + 0.5} ${HIGH - (value / (top || 1)) * (HIGH - 4) - 1}`;
      // The value in a gap is unknown, so the line has a gap, too.
      line += `${before === null ? "M" : "L"}${point}`;
      // A line without length and with round ends is a dot, even when the drawing is stretched.
      dots += `M${point}h0`;
    }
    before = value;
  });
  return html`
    <path class="line series-${each.tone}" d=${line || "M0 0"} />
    <path class="dots series-${each.tone}" d=${dots || "M0 0"} />
  `;
}

function Legend({ series }) {
  return html`
    <ul class="legend">
      ${series.map(
        ({ name, tone }) => html`
          <li><span class="swatch series-${tone}" aria-hidden="true" />${name}</li>
        `,
      )}
    </ul>
  `;
}

function Numbers({ title, buckets, series, show }) {
  const rows = buckets.filter((bucket) => bucket.started);
  return html`
    <details class="numbers">
      <summary>Numbers</summary>
      <div class="scroll" tabindex="0" role="region" aria-label="${title}, numbers">
        <${Table} names=${["From", ...series.map((each) => each.name)]}>
          ${rows.map(
            (bucket) => html`
              <tr key=${bucket.from}>
                <th scope="row">${shortTime(bucket.from, DAY_MS)}</th>
                ${series.map((each) => html`<td>${shown(each, bucket, show)}</td>`)}
              </tr>
            `,
          )}
        <//>
      </div>
    </details>
  `;
}

/** Small bars of pairs: what was started, and how much of it failed. */
export function Spark({ bars }) {
  const top = Math.max(1, ...bars.map(([started]) => started));
  const wide = Math.max(1, bars.length);
  const part = (index, number, tone, base = 0) => {
    const height = (number / top) * HIGH;
    const y = HIGH - base - height;
    return html`<rect class="series-${tone}" x=${index + 0.1} y=${y} width="0.8" height=${height} />`;
  };
  return html`
    <svg class="spark" viewBox="0 0 ${wide} ${HIGH}" preserveAspectRatio="none" aria-hidden="true">
      ${bars.map(([started, failed], index) => [
        part(index, started - failed, "calm", (failed / top) * HIGH),
        part(index, failed, "bad"),
      ])}
    </svg>
  `;
}

/** The next round number, half of which is short: 2, 4, 6, 8 or 10 and zeros; 0 without any value. */
function niceTop(value) {
  if (value <= 0) return 0;
  const size = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 6, 8, 10].map((step) => step * size).find((top) => top >= value);
}

/** The next round duration: milliseconds, seconds, minutes or hours. */
const timeTop = (value) => (value <= 0 ? 0 : (TIME_TOPS.find((top) => top >= value) ?? value));
