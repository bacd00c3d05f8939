// The list of runs: newest first, updated live, with the filters of the address.

import { Badge, Paused } from "../components/icons.js";
import {
  Filters,
  isFiltered,
  PeriodFilter,
  periodOf,
  SearchFilter,
  StatusFilter,
  TextFilter,
  useClear,
} from "../components/filters.js";
import {
  Blank,
  Button,
  Command,
  LIST_REFUSED,
  Loading,
  Problem,
  Table,
  When,
} from "../components/widgets.js";
import { firstRunCommand } from "../core/curl.js";
import { count, duration, ms, plural, ticking } from "../core/format.js";
import { linkTo } from "../core/router.js";
import { html } from "../vendor/preact-htm.js";

const FILTERS = ["status", "search", "workflow", "tag", "period", "from", "to"];
const PAGE = 50;
const EVERY_MS = 1000;
const QUIET_MS = 2500;
const ID = /^(run_[0-9a-f]{32})(-.+)?$/;

export const everyMs = (data) => (data && !liveOf(data.stats) ? QUIET_MS : EVERY_MS);
export const loadedBy = ({ query }) => JSON.stringify(query);

/** Fetch the data of the view. */
export async function load({ api, route, signal, now }) {
  const { status, workflow, search, tag, cursor } = route.query;
  const wanted = {
    status,
    workflowName: workflow,
    keyPrefix: search,
    tag,
    ...periodOf(route.query, now),
    cursor,
    limit: PAGE,
  };
  const [list, stats] = await Promise.all([api.runs(wanted, signal), api.stats(signal)]);
  const next = list.next && new URLSearchParams(list.next.split("?")[1]).get("cursor");
  return { runs: list.runs, next, stats };
}

export function View({ state, actions }) {
  const { route, data } = state;
  const change = (changes) => filter(route, changes, actions);
  const { key, clear } = useClear(FILTERS, change);
  const { search, workflow, tag, status } = route.query;
  return html`
    <div class="page-head">
      <h1>Runs</h1>
      ${data && html`<${Live} stats=${data.stats} />`}
    </div>
    <${Filters} key=${key}>
      <${SearchFilter} value=${search} change=${(text) => change({ search: text })} />
      <${TextFilter}
        label="Workflow"
        value=${workflow}
        change=${(text) => change({ workflow: text })}
        list="workflows"
        placeholder="its whole name"
      />
      <datalist id="workflows">
        ${workflowsOf(data).map((name) => html`<option value=${name} />`)}
      </datalist>
      <${TextFilter}
        label="Tag"
        value=${tag}
        change=${(text) => change({ tag: text })}
        placeholder="name:value"
      />
      <${PeriodFilter} label="Started" query=${route.query} change=${change} />
      ${isFiltered(route.query, FILTERS) && html`<${Button} small onClick=${clear}>Clear filters<//>`}
      <${StatusFilter} chosen=${status} change=${change} />
    <//>
    <${Body} state=${state} actions=${actions} clear=${clear} />
  `;
}

function Body({ state: { route, data, error, now, needsKey }, actions, clear }) {
  if (error && !data) return html`<${Problem} error=${error} actions=${actions} absent=${LIST_REFUSED} />`;
  if (!data) return html`<${Loading} rows=${10} />`;
  if (!data.runs.length) return html`<${Nothing} ...${{ route, actions, needsKey, clear }} />`;
  return html`
    <${Table}
      class="list runs"
      names=${["Status", "Workflow", "Key", "Started", "Duration", "Steps", "Attempts"]}
      caption="Runs, newest first. Arrow keys move between them, Enter opens one."
    >
      ${data.runs.map((run) => html`<${Row} key=${run.runId} ...${{ run, route, now }} />`)}
    <//>
    <${Pager} ...${{ route, data, actions }} />
  `;
}

function Row({ run, route, now }) {
  const { steps, attempts } = run.progress;
  const total = Object.values(steps).reduce((sum, number) => sum + number, 0);
  const took = run.finishedAt
    ? duration(ms(run.finishedAt) - ms(run.createdAt))
    : ticking(now - ms(run.createdAt));
  const href = linkTo({ client: route.client, page: "run", id: run.runId });
  const isWrong = run.error && run.status !== "succeeded";
  return html`
    <tr>
      <td class="c-status"><${Badge} step=${run} /><${Paused} step=${run} /></td>
      <td class="c-workflow">
        <a class="row-link" href=${href}>${run.workflowName}</a>
        ${isWrong && html`<span class="row-error" title=${run.error}>${run.error}</span>`}
      </td>
      <td class="c-key"><code title=${run.idempotencyKey}>${run.idempotencyKey}</code></td>
      <td class="c-when"><${When} text=${run.createdAt} now=${now} /></td>
      <td class="c-number">${took}</td>
      <td class="c-steps">
        ${
          total
            ? html`<${Meter} done=${steps.succeeded ?? 0} total=${total} failed=${steps.failed ?? 0} />`
            : html`<span class="soft">no steps</span>`
        }
      </td>
      <td class="c-number c-attempts ${attempts > total + 1 ? "more" : ""}">${count(attempts)}</td>
    </tr>
  `;
}

function Meter({ done, total, failed }) {
  const share = (number) => ({ width: `${(number / total) * 100}%` });
  return html`
    <span class="meter">
      <span class="meter-text">${count(done)}/${count(total)}</span>
      <span class="meter-bar" aria-hidden="true">
        <span class="meter-done" style=${share(done)} /><span class="meter-failed" style=${share(failed)} />
      </span>
    </span>
  `;
}

const liveOf = (stats) => Object.values(stats.live).reduce((sum, each) => sum + each, 0);

function Live({ stats }) {
  const number = liveOf(stats);
  return html`<p class="soft">${number ? `${plural(number, "step")} live now` : "No live steps now"}</p>`;
}

function Pager({ route, data, actions }) {
  const newest = () => actions.query({ cursor: "" });
  const older = () => actions.query({ cursor: data.next }, { keep: true });
  return html`
    <nav class="pager" aria-label="Pages">
      ${route.query.cursor && html`<${Button} onClick=${newest}>Newest<//>`}
      <span class="soft">${plural(data.runs.length, "run")} on this page</span>
      ${data.next && html`<${Button} onClick=${older}>Older<//>`}
    </nav>
  `;
}

function Nothing({ route, actions, needsKey, clear }) {
  if (route.query.cursor) {
    return html`
      <${Blank} icon="empty" title="No older runs">
        <${Button} onClick=${() => actions.query({ cursor: "" })}>Back to the newest<//>
      <//>
    `;
  }
  if (isFiltered(route.query, FILTERS)) {
    return html`
      <${Blank} icon="search" title="No run fits these filters">
        <${Button} onClick=${clear}>Clear filters<//>
      <//>
    `;
  }
  const command = firstRunCommand(route.client, { origin: location.origin, needsKey });
  return html`
    <${Blank} icon="empty" title="No runs yet">
      <p>Start the first run of client “${route.client}”: post the URL of one of your endpoints.</p>
      <${Command} text=${command} actions=${actions} />
      <p class="soft">
        It appears here by itself. See the <a href="/docs">description of the API</a>.
      </p>
    <//>
  `;
}

function filter(route, changes, actions) {
  const id = changes.search?.match(ID);
  if (id)
    return actions.go({
      client: route.client,
      page: "run",
      id: id[1],
      query: id[2] ? { step: changes.search } : {},
    });
  actions.query({ ...changes, cursor: "" });
}

function workflowsOf(data) {
  return [...new Set(data?.runs.map((run) => run.workflowName))].sort();
}
