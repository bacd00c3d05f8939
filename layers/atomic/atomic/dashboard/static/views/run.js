// One run: its steps on a time axis, and the panel of the chosen step.

import { RunActions } from "../components/acting.js";
import { Badge, CodeChanged, Paused } from "../components/icons.js";
import { StepPanel } from "../components/step-panel.js";
import { nameOf, tookOf, Waterfall } from "../components/waterfall.js";
import { CopyButton, Fact, Loading, Problem, When } from "../components/widgets.js";
import { startCommand } from "../core/curl.js";
import { count, dollars, ms } from "../core/format.js";
import { linkTo } from "../core/router.js";
import { isLive } from "../core/timeline.js";
import { html } from "../vendor/preact-htm.js";

const LISTS = {
  overview: "Overview",
  runs: "Runs",
  problems: "Problems",
  problem: "Problem",
  waiting: "Waiting for you",
  start: "Start a run",
};
const LIVE_MS = 700;
const ENDED_MS = 10_000;

export const everyMs = (data) => (data && [data.root, ...data.steps].some(isLive) ? LIVE_MS : ENDED_MS);
export const loadedBy = ({ id }) => id;

/** Fetch the data of the view. */
export const load = ({ api, route, signal }) => api.run(route.id, signal);

export function View({ state, actions }) {
  return html`
    <${Back} ...${state} />
    ${state.data ? html`<${Run} ...${{ state, actions }} />` : html`<${Absent} ...${{ state, actions }} />`}
  `;
}

function Run({ state, actions }) {
  const { route, data: run, now } = state;
  const chosen = [run.root, ...run.steps].find((step) => step.id === route.query.step);
  // The first choice adds an entry to the history: going back from it leads to the run, not to the list.
  const choose = (id) =>
    actions.query({ step: id === route.query.step ? "" : id }, { keep: !route.query.step });
  return html`
    <${Head} state=${state} actions=${actions} />
    <div class="run-body ${chosen ? "with-panel" : ""}">
      <${Waterfall} run=${run} chosen=${chosen?.id} now=${now} choose=${choose} />
      ${chosen && html`<${StepPanel} key=${chosen.id} step=${chosen} ...${{ run, state, actions }} />`}
    </div>
  `;
}

function Absent({ state: { error }, actions }) {
  return html`
    <h1 class="unseen">Run</h1>
    ${error ? html`<${Problem} error=${error} actions=${actions} />` : html`<${Loading} rows=${8} />`}
  `;
}

function Back({ route: { client }, lastList }) {
  const list = lastList?.client === client ? lastList : { client, page: "runs" };
  return html`<a class="back" href=${linkTo(list)}>← ${LISTS[list.page]}</a>`;
}

/** The step that failed first, in a run that failed. */
function Culprit({ run: { root, steps }, route: { client, id } }) {
  const failed = root.status === "failed" ? steps.filter((step) => step.status === "failed") : [];
  if (!failed.length) return null;
  const first = failed.reduce((a, b) => (ms(b.finishedAt) < ms(a.finishedAt) ? b : a));
  const href = linkTo({ client, page: "run", id, query: { step: first.id } });
  return html`<p class="culprit"><a href=${href}>${nameOf(first)}</a> failed first: ${first.error}</p>`;
}

function Head({ state: { route, data: run, now, needsKey }, actions }) {
  const { root } = run;
  const start = () => startCommand(root, route.client, { origin: location.origin, needsKey });
  return html`
    <header class="run-head">
      <div class="run-title">
        <h1>${root.workflowName}</h1>
        <${Badge} step=${root} />
        <${Paused} step=${root} />
        <${CodeChanged} step=${root} />
      </div>
      <div class="run-actions">
        <${CopyButton} text=${start} actions=${actions}>Copy as curl<//>
        <${CopyButton} text=${() => location.href} actions=${actions}>Copy link<//>
        <${RunActions} run=${run} actions=${actions} />
      </div>
      <${Facts} run=${run} client=${route.client} now=${now} />
      ${root.error && root.status === "failed" && html`<p class="error-text">${root.error}</p>`}
      <${Culprit} run=${run} route=${route} />
    </header>
  `;
}

function Facts({ run: { root, steps, costUsd }, client, now }) {
  const done = steps.filter((step) => step.status === "succeeded").length;
  const attempts = [root, ...steps].reduce((sum, step) => sum + step.attempts, 0);
  return html`
    <dl class="facts">
      <${Fact} name="Key"><code>${root.idempotencyKey}</code><//>
      <${Fact} name="Run"><code>${root.runId}</code><//>
      <${Fact} name="Started"><${When} text=${root.createdAt} now=${now} /><//>
      <${Fact} name="Duration">${tookOf(root, now)}<//>
      <${Fact} name="Steps">
        ${steps.length ? `${count(done)} of ${count(steps.length)} done` : "none"}
      <//>
      <${Fact} name="Attempts">${count(attempts)}<//>
      <${Fact} name="Cost"><${Cost} usd=${costUsd} /><//>
      ${root.tags && html`<${Fact} name="Tags"><${Tags} tags=${root.tags} client=${client} /><//>`}
      ${root.hooks && html`<${Fact} name="Hooks"><${Hooks} hooks=${root.hooks} /><//>`}
    </dl>
  `;
}

function Hooks({ hooks }) {
  const told = Object.entries(hooks);
  return told.map(([event, url], number) => html`${number > 0 && ", "}<span title=${url}>${event}</span>`);
}

function Tags({ tags, client }) {
  return Object.entries(tags).map(([name, value], number) => {
    const tag = `${name}:${value}`;
    const href = linkTo({ client, page: "runs", query: { tag } });
    return html`${number > 0 && ", "}<a href=${href} title="The runs with this tag">${tag}</a>`;
  });
}

function Cost({ usd }) {
  if (usd !== null) return html`<span title="Estimated by AWS list prices">${dollars(usd)}</span>`;
  const why = "This is your own server. On AWS, an estimate by list prices is shown here.";
  return html`<span title=${why}>own server</span>`;
}
