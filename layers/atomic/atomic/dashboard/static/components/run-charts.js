// The charts of runs over time, from the counters of the server.

import { count, percent, roundDuration } from "../core/format.js";
import { linkTo } from "../core/router.js";
import { timeOf, TIMES, totalOf } from "../core/run-statistics.js";
import { html } from "../vendor/preact-htm.js";
import { Chart } from "./chart.js";
import { Select } from "./fields.js";
import { When } from "./widgets.js";

const CHARTS = [
  {
    id: "started",
    title: "Runs started",
    show: count,
    series: [
      { name: "succeeded", kind: "bar", tone: "good", value: (bucket) => bucket.succeeded },
      { name: "failed", kind: "bar", tone: "bad", value: (bucket) => bucket.failed },
      { name: "live or cancelled", kind: "bar", tone: "calm", value: (bucket) => bucket.others },
    ],
  },
  {
    id: "rate",
    title: "Failure rate",
    show: percent,
    status: "failed",
    series: [{ name: "failed", kind: "line", tone: "bad", value: (bucket) => bucket.rate }],
  },
  {
    id: "duration",
    title: "Duration (succeeded)",
    show: roundDuration,
    isTime: true,
    status: "succeeded",
    series: [
      { name: "median", kind: "line", tone: "calm", value: (bucket) => bucket.p50 },
      { name: "95 %", kind: "line", tone: "strong", value: (bucket) => bucket.p95 },
    ],
  },
  {
    id: "retries",
    title: "Retries",
    show: count,
    series: [{ name: "retries", kind: "bar", tone: "warn", value: (bucket) => bucket.retries }],
  },
];

/** The choice of the time that a page shows. */
export function TimeSelect({ route, now, actions }) {
  const { name } = timeOf(route.query.period, now);
  return html`
    <${Select}
      label="Time"
      value=${name}
      options=${TIMES}
      change=${(period) => actions.query({ period })}
    />
  `;
}

/** From when on runs are counted, how old the counters are, and why there are no shorter bars. */
export function Counted({ time, countedAt, now }) {
  const since = new Date(time.from).toISOString();
  const age = countedAt && new Date(countedAt).toISOString();
  return html`
    Runs started since <time datetime=${since}>${since.slice(0, 16).replace("T", " ")} UTC</time>${
      age && html`, counted <${When} text=${age} now=${now} />`
    }${time.isCoarse && ". Bars are hours: this server counts by the hour, twice an hour."}
  `;
}

/** Four charts; `workflow` is the name whose runs a bar leads to, empty for all. */
export function RunCharts({ buckets, client, workflow = "" }) {
  const all = totalOf(buckets);
  const headlines = {
    started: `${count(all.started)}${all.live ? `, ${count(all.live)} live` : ""}`,
    rate: all.rate === null ? "–" : percent(all.rate),
    duration: all.p95 < 0 ? "–" : `95 % up to ${roundDuration(all.p95)}`,
    retries: count(all.retries),
  };
  return html`
    <div class="charts">
      ${CHARTS.map(({ id, status, ...chart }) => {
        const linkOf = ({ from, to }) => {
          const [since, until] = [from, to].map((at) => new Date(at).toISOString());
          const query = { workflow, status, period: "custom", from: since, to: until };
          return linkTo({ client, page: "runs", query });
        };
        const headline = headlines[id];
        return html`<${Chart} key=${id} ...${{ ...chart, headline, buckets, linkOf }} />`;
      })}
    </div>
  `;
}
