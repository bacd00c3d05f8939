// Charts over time: one SVG for the shapes, HTML for the words, and the same numbers as a table.

import { h } from "../core/dom.js";
import { shortTime } from "../core/format.js";
import { table } from "./pieces.js";

const HIGH = 100;

/**
 * `series`: `{name, kind, value(bucket)}` with kind `bar` (stacked) or `line`; null leaves a gap.
 * `show(number)` writes a value in words; `now` is the headline.
 */
export function chart({ title, headline, buckets, series, show }) {
  const bars = series.filter((each) => each.kind === "bar");
  const sums = buckets.map((bucket) => bars.reduce((sum, each) => sum + each.value(bucket), 0));
  const values = series.filter((each) => each.kind === "line").flatMap((each) => buckets.map(each.value));
  const top = niceTop(Math.max(0, ...sums, ...values.filter((value) => value !== null)));
  const span = buckets.at(-1).to - buckets[0].from;
  return h(
    "figure",
    { class: "chart" },
    h(
      "figcaption",
      null,
      h("span", { class: "chart-title" }, title),
      h("span", { class: "chart-now" }, headline),
    ),
    h(
      "div",
      { class: "plot" },
      h("span", { class: "plot-top", "aria-hidden": "true" }, show(top)),
      h(
        "svg",
        {
          viewBox: `0 0 ${buckets.length} ${HIGH}`,
          preserveAspectRatio: "none",
          role: "img",
          "aria-label": `${title}: ${headline}`,
        },
        buckets.map((bucket, at) => column(bucket, at, bars, top)),
        series.map((each, at) => each.kind === "line" && line(buckets, each, at, top)),
        buckets.map((bucket, at) => hover(bucket, at, series, show, span)),
      ),
    ),
    h(
      "div",
      { class: "plot-times", "aria-hidden": "true" },
      h("span", null, shortTime(buckets[0].from, span)),
      h("span", null, shortTime((buckets[0].from + buckets.at(-1).to) / 2, span)),
      h("span", null, "now"),
    ),
    series.length > 1 &&
      h(
        "ul",
        { class: "legend" },
        series.map((each, at) =>
          h(
            "li",
            null,
            h("span", { class: `swatch series-${each.tone ?? at}`, "aria-hidden": "true" }),
            each.name,
          ),
        ),
      ),
    numbers(title, buckets, series, show, span),
  );
}

function column(bucket, at, bars, top) {
  let base = HIGH;
  return bars.map((each) => {
    const height = (each.value(bucket) / top) * (HIGH - 4);
    base -= height;
    return (
      height > 0 && h("rect", { class: `series-${each.tone}`, x: at + 0.12, y: base, width: 0.76, height })
    );
  });
}

function line(buckets, each, at, top) {
  let line = "";
  let dots = "";
  let before = null;
  buckets.forEach((bucket, index) => {
    const value = each.value(bucket);
    if (value !== null) {
      const point = `${index + 0.5} ${HIGH - (value / top) * (HIGH - 4) - 1}`;
      // Nothing is known of a gap, so no line leads over it.
      line += `${before === null ? "M" : "L"}${point}`;
      // A line of no length with round ends is a dot, however the drawing is stretched.
      dots += `M${point}h0`;
    }
    before = value;
  });
  const tone = `series-${each.tone ?? at}`;
  return [
    h("path", { class: `line ${tone}`, d: line || "M0 0" }),
    h("path", { class: `dots ${tone}`, d: dots || "M0 0" }),
  ];
}

function hover(bucket, at, series, show, span) {
  const text = series.map(
    (each) => `${each.name}: ${each.value(bucket) === null ? "–" : show(each.value(bucket))}`,
  );
  return h(
    "rect",
    { class: "hover", x: at, y: 0, width: 1, height: HIGH },
    h("title", null, [shortTime(bucket.from, span), ...text].join("\n")),
  );
}

function numbers(title, buckets, series, show, span) {
  const rows = buckets.filter((bucket) => bucket.runs);
  return h(
    "details",
    { class: "numbers" },
    h("summary", null, "Numbers"),
    h(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": `${title}, numbers` },
      table(
        ["From", ...series.map((each) => each.name)],
        rows.map((bucket) =>
          h(
            "tr",
            { key: bucket.from },
            h("th", { scope: "row" }, shortTime(bucket.from, span)),
            series.map((each) =>
              h("td", null, each.value(bucket) === null ? "–" : show(each.value(bucket))),
            ),
          ),
        ),
      ),
    ),
  );
}

/** The next round number: 1, 2 or 5 and zeros. */
function niceTop(value) {
  if (value <= 0) return 1;
  const size = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * size).find((top) => top >= value);
}
