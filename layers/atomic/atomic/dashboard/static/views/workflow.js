// One workflow: its counters, why its runs failed, its newest runs, and its pause.

import { Pause } from "../components/pause.js";
import { Counted, RunCharts, TimeSelect } from "../components/run-charts.js";
import { RunTable } from "../components/run-table.js";
import { Blank, LIST_REFUSED, Loading, Problem } from "../components/widgets.js";
import { plural, visible } from "../core/format.js";
import { linkTo } from "../core/router.js";
import { bucketsOf, countedAt, timeBy, timeOf } from "../core/run-statistics.js";
import { html } from "../vendor/preact-htm.js";

const EVERY_MS = 5000;
const RUNS = 10;
const CAUSES = 10;
// Browsers and servers remove them from a path, in any spelling: no request can name such a workflow by it.
const NO_PATH = [".", ".."];
const PAUSE = {
  what: "workflow",
  effect: "No run of it is called until it is resumed. New runs are kept.",
  resumed: "The workflow goes on within 15 minutes.",
  noteMax: 200,
  pause: (api, name, note) => api.pauseWorkflow(name, note),
  resume: (api, name) => api.resumeWorkflow(name),
};

export const everyMs = () => EVERY_MS;
export const loadedBy = ({ id, query }) => `${id} ${query.period ?? ""}`;

/** Fetch the data of the view. */
export async function load({ api, route, signal, now }) {
  const asked = timeOf(route.query.period, now);
  const own = { workflowName: route.id };
  const from = new Date(asked.from).toISOString();
  const [counters, state, causes, list, stats] = await Promise.all([
    api.counters({ ...own, from, every: asked.every }, signal),
    NO_PATH.includes(route.id) ? null : api.workflow(route.id, signal),
    api.causes({ ...own, limit: CAUSES }, signal),
    api.runs({ ...own, limit: RUNS }, signal),
    api.stats(signal),
  ]);
  const time = timeBy(counters.spanMs, asked);
  return {
    time,
    stats,
    buckets: bucketsOf(counters.items, time),
    countedAt: countedAt(counters.items),
    hasPath: state !== null,
    paused: state?.paused,
    causes,
    runs: list.runs,
  };
}

export function View({ state, actions }) {
  const { route, data, now, isOld } = state;
  const back = linkTo({ client: route.client, page: "overview", query: { period: route.query.period } });
  return html`
    <a class="back" href=${back}>← Overview</a>
    <div class="page-head">
      <h1><bdi>${visible(route.id)}</bdi></h1>
      ${
        data &&
        html`<p class="soft">
          ${isOld ? "Loading…" : html`<${Counted} ...${data} now=${now} />`}
        </p>`
      }
      <div class="page-acts">
        <${TimeSelect} ...${{ route, now, actions }} />
      </div>
    </div>
    <${Body} state=${state} actions=${actions} />
  `;
}

function Body({ state: { route, data, error, now, isOld }, actions }) {
  if (error && (!data || isOld))
    return html`<${Problem} error=${error} actions=${actions} absent=${LIST_REFUSED} />`;
  if (!data) return html`<${Loading} />`;
  const { client, id: name } = route;
  const all = linkTo({ client, page: "runs", query: { workflow: name } });
  return html`
    ${
      data.hasPath
        ? html`<${Pause} key=${name} ...${{ of: PAUSE, name, paused: data.paused, actions }} />`
        : html`<p class="soft">
            A workflow of this name cannot be paused, because no path can have it. Pause its runs.
          </p>`
    }
    ${
      isOld
        ? html`<${Loading} />`
        : html`<${RunCharts} buckets=${data.buckets} client=${client} workflow=${name} />`
    }
    <${Causes} ...${{ causes: data.causes, client, name }} />
    <section class="part">
      <h2>Newest runs</h2>
      ${
        data.runs.length
          ? html`
              <${RunTable} runs=${data.runs} client=${client} now=${now} />
              <p><a class="alone" href=${all}>All runs of this workflow</a></p>
            `
          : html`<${Blank} icon="empty" title="No runs of this workflow" />`
      }
    </section>
  `;
}

// Why runs failed that still need action; each cause leads to its page.
function Causes({ causes: { causes, isAll, more }, client, name }) {
  if (!causes.length) return null;
  const linkOf = (id) => linkTo({ client, page: "problem", id });
  const all = linkTo({ client, page: "problems", query: { workflow: name } });
  return html`
    <section class="ranking">
      <h2>Failed runs that need action</h2>
      <ul class="causes-list">
        ${causes.map(
          (cause) => html`
            <li key=${cause.id}>
              <a href=${linkOf(cause.id)}>${isAll ? "" : "at least "}${plural(cause.count, "run")}</a>
              <span>
                <bdi>${visible(cause.stepName ?? "the handler")}</bdi>: <bdi>${cause.text}</bdi>
              </span>
            </li>
          `,
        )}
      </ul>
      ${more && html`<p><a class="alone" href=${all}>All problems</a></p>`}
    </section>
  `;
}
