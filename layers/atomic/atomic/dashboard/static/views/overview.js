// Charts and tables computed in the browser from the newest runs; the page says how many runs these are.

import { Chart } from "../components/chart.js";
import { PERIODS, periodOf, Select } from "../components/filters.js";
import { Icon } from "../components/icons.js";
import { Blank, Command, LIST_REFUSED, Loading, Problem, Table } from "../components/widgets.js";
import { firstRunCommand } from "../core/curl.js";
import { count, duration, ms, percent, plural, ticking } from "../core/format.js";
import { linkTo } from "../core/router.js";
import { LIVE } from "../core/enums.js";
import { bucketsOf, oldestRetry, summaryOf, workflowsOf } from "../core/run-statistics.js";
import { isLive } from "../core/timeline.js";
import { html } from "../vendor/preact-htm.js";

const SAMPLE = 500;
const PAGE = 100;
const EVERY_MS = 5000;
// The whole sample is read again now and then; in between, only the newest page is read.
const WHOLE_EVERY = 12;
const RANKED = 5;
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
    series: [{ name: "failed", kind: "line", tone: "bad", value: (bucket) => bucket.rate }],
  },
  {
    id: "duration",
    title: "Duration",
    show: duration,
    series: [
      { name: "p50", kind: "line", tone: "calm", value: (bucket) => bucket.p50 },
      { name: "p95", kind: "line", tone: "middle", value: (bucket) => bucket.p95 },
      { name: "p99", kind: "line", tone: "strong", value: (bucket) => bucket.p99 },
    ],
  },
  {
    id: "retries",
    title: "Retries",
    show: count,
    series: [{ name: "retries", kind: "bar", tone: "warn", value: (bucket) => bucket.retries }],
  },
];

export const everyMs = () => EVERY_MS;
export const loadedBy = ({ query }) => JSON.stringify(query);

/** Fetch the data of the view; `before` is its previous data. */
export async function load({ api, route, signal, now, before }) {
  const since = periodOf(route.query, now);
  const whole = !before || before.round % WHOLE_EVERY === 0;
  const [fresh, stats, ...live] = await Promise.all([
    newest(api, since, whole ? SAMPLE : PAGE, signal),
    api.stats(signal),
    ...LIVE.map((status) => api.runs({ status, limit: PAGE }, signal)),
  ]);
  const liveRuns = live.flatMap((list) => list.runs);
  const runs = whole ? fresh : merged(fresh, before.runs, liveRuns, since.createdAfter);
  return { runs, stats, oldest: oldestRetry(liveRuns), round: (before?.round ?? 0) + 1 };
}

async function newest(api, since, wanted, signal) {
  const runs = [];
  let cursor;
  do {
    const list = await api.runs({ ...since, cursor, limit: PAGE }, signal);
    runs.push(...list.runs);
    cursor = list.next && new URLSearchParams(list.next.split("?")[1]).get("cursor");
  } while (cursor && runs.length < wanted);
  return runs;
}

function merged(fresh, known, liveRuns, since) {
  const byId = new Map(known.map((run) => [run.runId, run]));
  for (const run of liveRuns) if (byId.has(run.runId)) byId.set(run.runId, run);
  for (const run of fresh) byId.set(run.runId, run);
  const from = since ? ms(since) : 0;
  const runs = [...byId.values()].filter((run) => ms(run.createdAt) >= from);
  return runs.sort((a, b) => ms(b.createdAt) - ms(a.createdAt)).slice(0, SAMPLE);
}

export function View({ state, actions }) {
  const { route, data } = state;
  const { period = "" } = route.query;
  const periods = PERIODS.filter(([name]) => name !== "custom").map(([name, label]) => [
    name,
    name ? label : "all",
  ]);
  return html`
    <div class="page-head">
      <h1>Overview</h1>
      ${data && html`<p class="soft">${said(data.runs.length, period)}</p>`}
      <div class="page-acts">
        <${Select}
          label="Time"
          value=${period}
          options=${periods}
          change=${(chosen) => actions.query({ period: chosen })}
        />
      </div>
    </div>
    <${Body} state=${state} actions=${actions} />
  `;
}

function said(number, period) {
  const time = period ? " of this time" : "";
  if (number >= SAMPLE) return `Of the newest ${count(SAMPLE)} runs${time}`;
  return number === 1 ? "Of the only run" : `Of all ${count(number)} runs${time}`;
}

function Body({ state: { route, data, error, now, needsKey }, actions }) {
  if (error && !data) return html`<${Problem} error=${error} actions=${actions} absent=${LIST_REFUSED} />`;
  if (!data) return html`<${Loading} />`;
  return html`
    <${Slowed} stats=${data.stats} />
    <${Tiles} data=${data} route=${route} now=${now} />
    ${
      data.runs.length
        ? html`<${Charts} runs=${data.runs} now=${now} /><${Rankings} runs=${data.runs} route=${route} />`
        : html`<${Nothing} route=${route} needsKey=${needsKey} actions=${actions} />`
    }
  `;
}

// Says that the server is paused, or goes on slowly after that.
function Slowed({ stats: { callsPerSecond } }) {
  if (callsPerSecond == null) return null;
  const said = callsPerSecond
    ? `The server goes on after a pause: at most ${plural(callsPerSecond, "call")} a second.`
    : "The server is paused: it keeps everything and calls nothing.";
  return html`<p role="status"><span class="badge is-warn"><${Icon} name="warning" />${said}</span></p>`;
}

function Nothing({ route, needsKey, actions }) {
  if (route.query.period) return html`<${Blank} icon="empty" title="No runs in this time" />`;
  const command = firstRunCommand(route.client, { origin: location.origin, needsKey });
  return html`
    <${Blank} icon="empty" title="No runs yet">
      <p>Charts begin with the first run:</p>
      <${Command} text=${command} actions=${actions} />
    <//>
  `;
}

function Tiles({ data: { runs, stats, oldest }, route: { client, query }, now }) {
  const all = summaryOf(runs);
  const live = Object.values(stats.live).reduce((sum, number) => sum + number, 0);
  const words = Object.entries(stats.live)
    .map(([status, number]) => `${count(number)} ${status}`)
    .join(", ");
  const overdue = stats.oldestDueAt ? now - ms(stats.oldestDueAt) : 0;
  return html`
    <ul class="tiles">
      <${Tile} name="Live now" value=${count(live)} to=${{ client, page: "runs" }}>
        ${words || "no live steps"}
      <//>
      <${Tile}
        name="Failure rate"
        value=${all.rate === null ? "–" : percent(all.rate)}
        to=${{ client, page: "runs", query: { status: "failed", period: query.period } }}
      >
        ${count(all.failed)} of ${plural(all.succeeded + all.failed, "ended run")}
      <//>
      <${Tile} name="Needs action" value=${count(stats.needsAction)} to=${{ client, page: "problems" }}>
        ${stats.needsAction ? "failed runs" : "no failed run"}
      <//>
      <${Tile}
        name="Oldest retry"
        value=${oldest ? ticking(now - ms(oldest.createdAt)) : "none"}
        to=${oldest ? { client, page: "run", id: oldest.runId } : { client, page: "runs" }}
      >
        ${overdue > 5000 ? `a step is overdue by ${ticking(overdue)}` : "since its run began"}
      <//>
    </ul>
  `;
}

function Tile({ name, value, to, children }) {
  return html`
    <li>
      <a class="tile" href=${linkTo(to)}>
        <span class="tile-name">${name}</span>
        <span class="tile-value">${value}</span>
        <span class="soft">${children}</span>
      </a>
    </li>
  `;
}

function Charts({ runs, now }) {
  const all = summaryOf(runs);
  const live = runs.filter(isLive).length;
  const headlines = {
    started: `${count(runs.length)}${live ? `, ${count(live)} live` : ""}`,
    rate: all.rate === null ? "–" : percent(all.rate),
    duration: all.p50 === null ? "–" : `median ${duration(all.p50)}`,
    retries: count(all.retries),
  };
  const buckets = bucketsOf(runs, now);
  return html`
    <div class="charts">
      ${CHARTS.map(({ id, title, show, series }) => {
        const headline = headlines[id];
        return html`<${Chart} ...${{ title, headline, buckets, show, series }} />`;
      })}
    </div>
  `;
}

function Rankings({ runs, route: { client } }) {
  const workflows = workflowsOf(runs);
  const slowest = workflows.filter((each) => each.p95 !== null).sort((a, b) => b.p95 - a.p95);
  const failing = workflows
    .filter((each) => each.failed)
    .sort((a, b) => b.rate - a.rate || b.failed - a.failed);
  const listOf = (name, query) => linkTo({ client, page: "runs", query: { workflow: name, ...query } });
  return html`
    <div class="rankings">
      <${Ranking}
        title="Slowest workflows"
        names=${["Workflow", "Median", "p95", "Runs"]}
        rows=${slowest}
        cells=${(each) => [duration(each.p50), duration(each.p95), count(each.runs)]}
        href=${(name) => listOf(name, {})}
      />
      <${Ranking}
        title="Most failing workflows"
        names=${["Workflow", "Rate", "Failed", "Runs"]}
        rows=${failing}
        cells=${(each) => [percent(each.rate), count(each.failed), count(each.runs)]}
        href=${(name) => listOf(name, { status: "failed" })}
      />
    </div>
  `;
}

function Ranking({ title, names, rows, cells, href }) {
  const first = rows.slice(0, RANKED).map(
    (each) => html`
      <tr key=${each.name}>
        <td><a href=${href(each.name)}>${each.name}</a></td>
        ${cells(each).map((cell) => html`<td class="c-number">${cell}</td>`)}
      </tr>
    `,
  );
  return html`
    <section class="ranking">
      <h2>${title}</h2>
      ${first.length ? html`<${Table} names=${names}>${first}<//>` : html`<p class="soft">None.</p>`}
    </section>
  `;
}
