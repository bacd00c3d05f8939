// Charts over time: an SVG for the shapes, HTML for the texts, and a table with the same numbers.

import { shortTime } from "../core/format.js";
import { html } from "../vendor/preact-htm.js";
import { Table } from "./widgets.js";

const HIGH = 100;

/**
 * `series`: `{name, kind, tone, value(bucket)}` with kind `bar` (stacked) or `line`; null leaves a gap.
 * `show(number)` returns the text of a value; `headline` is shown beside the title.
 */
export function Chart({ title, headline, buckets, series, show }) {
  const bars = series.filter((each) => each.kind === "bar");
  const lines = series.filter((each) => each.kind === "line");
  const top = topOf(buckets, bars, lines);
  const [from, to] = [buckets[0].from, buckets.at(-1).to];
  const span = to - from;
  return html`
    <figure class="chart">
      <figcaption>
        <span class="chart-title">${title}</span><span class="chart-now">${headline}</span>
      </figcaption>
      <div class="plot">
        <span class="plot-top" aria-hidden="true">${show(top)}</span>
        <svg
          viewBox="0 0 ${buckets.length} ${HIGH}"
          preserveAspectRatio="none"
          role="img"
          aria-label="${title}: ${headline}"
        >
          ${buckets.map((bucket, at) => html`<${Column} ...${{ bucket, at, bars, top }} />`)}
          ${lines.map((each) => html`<${Line} ...${{ buckets, each, top }} />`)}
          ${buckets.map((bucket, at) => html`<${Hover} ...${{ bucket, at, series, show, span }} />`)}
        </svg>
      </div>
      <div class="plot-times" aria-hidden="true">
        <span>${shortTime(from, span)}</span>
        <span>${shortTime((from + to) / 2, span)}</span>
        <span>now</span>
      </div>
      ${series.length > 1 && html`<${Legend} series=${series} />`}
      <${Numbers} ...${{ title, buckets, series, show, span }} />
    </figure>
  `;
}

function topOf(buckets, bars, lines) {
  const sums = buckets.map((bucket) => bars.reduce((sum, each) => sum + each.value(bucket), 0));
  const values = lines.flatMap((each) => buckets.map(each.value)).filter((value) => value !== null);
  return niceTop(Math.max(0, ...sums, ...values));
}

function Column({ bucket, at, bars, top }) {
  let base = HIGH;
  return bars.map((each) => {
    const height = (each.value(bucket) / top) * (HIGH - 4);
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
      const point = `${index + 0.5} ${HIGH - (value / top) * (HIGH - 4) - 1}`;
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

const shown = (each, bucket, show) => (each.value(bucket) === null ? "–" : show(each.value(bucket)));

function Hover({ bucket, at, series, show, span }) {
  const lines = series.map((each) => `${each.name}: ${shown(each, bucket, show)}`);
  return html`
    <rect class="hover" x=${at} y="0" width="1" height=${HIGH}>
      <title>${[shortTime(bucket.from, span), ...lines].join("\n")}</title>
    </rect>
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

function Numbers({ title, buckets, series, show, span }) {
  const rows = buckets.filter((bucket) => bucket.runs);
  return html`
    <details class="numbers">
      <summary>Numbers</summary>
      <div class="scroll" tabindex="0" role="region" aria-label="${title}, numbers">
        <${Table} names=${["From", ...series.map((each) => each.name)]}>
          ${rows.map(
            (bucket) => html`
              <tr key=${bucket.from}>
                <th scope="row">${shortTime(bucket.from, span)}</th>
                ${series.map((each) => html`<td>${shown(each, bucket, show)}</td>`)}
              </tr>
            `,
          )}
        <//>
      </div>
    </details>
  `;
}

/** The next round number: 1, 2 or 5 and zeros. */
function niceTop(value) {
  if (value <= 0) return 1;
  const size = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * size).find((top) => top >= value);
}
