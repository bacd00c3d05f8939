// The state of a client, from the counters of the server: the whole chosen time, and every workflow.

import { Icon } from "../components/icons.js";
import { NearLimits } from "../components/limits.js";
import { Counted, RunCharts, TimeSelect } from "../components/run-charts.js";
import { Blank, Command, LIST_REFUSED, Loading, Problem, When } from "../components/widgets.js";
import { WorkflowTable } from "../components/workflow-table.js";
import { firstRunCommand } from "../core/curl.js";
import { LIVE } from "../core/enums.js";
import { count, ms, percent, plural, ticking } from "../core/format.js";
import { linkTo } from "../core/router.js";
import {
  bucketsOf,
  countedAt,
  sparkEveryOf,
  timeBy,
  timeOf,
  totalOf,
  workflowsOf,
} from "../core/run-statistics.js";
import { html } from "../vendor/preact-htm.js";

const EVERY_MS = 5000;
// Maintenance on AWS counts each half hour.
const COUNTED_EVERY_MS = 60_000;
// The small bars of each workflow, and the limits of the client, are read again now and then.
const SLOW_EVERY = 12;
const OVERDUE_MS = 5000;
const SLOWED_MAX = 3;

export const everyMs = (data) => (data?.countedAt ? COUNTED_EVERY_MS : EVERY_MS);
export const loadedBy = ({ query }) => query.period ?? "";

/** Fetch the data of the view; `before` is its previous data. */
export async function load({ api, route, signal, now, before }) {
  const asked = timeOf(route.query.period, now);
  const from = new Date(asked.from).toISOString();
  const isKnown = Boolean(before?.round % SLOW_EVERY);
  const [counters, workflows, stats, limits] = await Promise.all([
    api.counters({ from, every: asked.every, allWorkflows: true }, signal),
    api.workflows(from, signal),
    api.stats(signal),
    isKnown ? before.limits : api.limits(signal),
  ]);
  const time = timeBy(counters.spanMs, asked);
  const every = sparkEveryOf(time, workflows.items.length);
  const hasSparks = isKnown && before.time.from === time.from;
  const sparks = hasSparks ? before.sparks : await api.counters({ from, every }, signal);
  return {
    time,
    stats,
    limits,
    workflows,
    sparks,
    buckets: bucketsOf(counters.items, time),
    countedAt: countedAt(counters.items),
    round: (before?.round ?? 0) + 1,
  };
}

export function View({ state, actions }) {
  const { route, data, now, isOld } = state;
  return html`
    <div class="page-head">
      <h1>Overview</h1>
      ${
        data && !isOld && html`<p class="soft"><${Counted} ...${data} now=${now} /></p>`
      }
      <div class="page-acts">
        <${TimeSelect} ...${{ route, now, actions }} />
      </div>
    </div>
    <${Body} state=${state} actions=${actions} />
  `;
}

// Nearly all of it is of the chosen time, so nothing stays of another one.
function Body({ state: { route, data, error, now, needsKey, isOld }, actions }) {
  if (error && (!data || isOld))
    return html`<${Problem} error=${error} actions=${actions} absent=${LIST_REFUSED} />`;
  if (!data || isOld) return html`<${Loading} />`;
  const { client, query } = route;
  const sort = query.sort ?? "started";
  const rows = workflowsOf(data.workflows.items, data.sparks, data.time, sort);
  return html`
    <${Slowed} stats=${data.stats} />
    <${NearLimits} limits=${data.limits} client=${client} />
    <${SlowedOrigins} origins=${data.stats.slowedOrigins} client=${client} />
    <${Tiles} data=${data} client=${client} now=${now} />
    ${
      data.workflows.items.length
        ? html`
            <${RunCharts} buckets=${data.buckets} client=${client} />
            <${WorkflowTable} ...${{ rows, sort, client, isAll: data.workflows.isAll }}
              change=${(by) => actions.query({ sort: by })}
              period=${query.period} />
          `
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

// Names origins that get fewer attempts at once.
function SlowedOrigins({ origins, client }) {
  if (!origins.length) return null;
  const names = origins.slice(0, SLOWED_MAX).map(({ origin }) => origin);
  const more = origins.length > SLOWED_MAX ? ` and ${count(origins.length - SLOWED_MAX)} more` : "";
  return html`
    <p class="warnings" role="status">
      <a class="badge is-warn" href=${linkTo({ client, page: "flow" })}>
        <${Icon} name="warning" />
        <span>Seems overloaded and gets fewer calls at once: <bdi>${names.join(", ")}</bdi>${more}</span>
      </a>
    </p>
  `;
}

function Nothing({ route, needsKey, actions }) {
  const command = firstRunCommand(route.client, { origin: location.origin, needsKey });
  return html`
    <${Blank} icon="empty" title="No runs in the last 31 days">
      <p>Charts begin with the first run:</p>
      <${Command} text=${command} actions=${actions} />
    <//>
  `;
}

function Tiles({ data: { buckets, time, stats }, client, now }) {
  const all = totalOf(buckets);
  const live = Object.values(stats.live).reduce((sum, number) => sum + number, 0);
  const of = stats.liveOf;
  // Always in one order, so that a number is found where it was; then states that this page does not know.
  const words = [...new Set([...LIVE, ...Object.keys(stats.live)])]
    .filter((status) => stats.live[status])
    .map((status) => `${count(stats.live[status])} ${status}`)
    .join(", ");
  const overdue = stats.oldestDueAt ? now - ms(stats.oldestDueAt) : 0;
  const since = { period: "custom", from: new Date(time.from).toISOString() };
  const runs = (query) => ({ client, page: "runs", query });
  return html`
    <ul class="tiles">
      <${Tile} name="Live ${of}" value=${count(live)} to=${runs({})}>
        ${words || "none now"}${
          stats.countedAt && html`, counted <${When} text=${stats.countedAt} now=${now} />`
        }
      <//>
      <${Tile}
        name="Failure rate"
        value=${all.rate === null ? "–" : percent(all.rate)}
        to=${runs({ status: "failed", ...since })}
      >
        ${count(all.failed)} of ${plural(all.succeeded + all.failed, "ended run")}
      <//>
      <${Tile}
        name="Needs action"
        value=${count(stats.needsAction)}
        to=${{ client, page: "problems" }}
      >
        ${stats.needsAction ? `failed ${stats.needsAction === 1 ? "run" : "runs"}` : "no failed run"}
      <//>
      <${Tile}
        name="Retrying ${of}"
        value=${count(stats.live.retrying ?? 0)}
        to=${runs({ status: "retrying" })}
      >
        ${overdue > OVERDUE_MS ? `a step is overdue by ${ticking(overdue)}` : "wait for their next attempt"}
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
