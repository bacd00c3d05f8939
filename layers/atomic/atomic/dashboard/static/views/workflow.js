// One workflow: its counters, why its runs failed, its newest runs, and its pause.

import { Icon } from "../components/icons.js";
import { RunCharts, TimeSelect } from "../components/run-charts.js";
import { RunTable } from "../components/run-table.js";
import { Blank, Button, LIST_REFUSED, Loading, Problem, When } from "../components/widgets.js";
import { errorText, fullTime, ms, plural } from "../core/format.js";
import { linkTo } from "../core/router.js";
import { bucketsOf, countedAt, timeOf } from "../core/run-statistics.js";
import { html, useLayoutEffect, useRef, useState } from "../vendor/preact-htm.js";

const EVERY_MS = 5000;
const RUNS = 10;
const CAUSES = 10;
const NOTE_MAX = 200;

export const everyMs = () => EVERY_MS;
export const loadedBy = ({ id, query }) => `${id} ${query.period ?? ""}`;

/** Fetch the data of the view. */
export async function load({ api, route, signal, now }) {
  const time = timeOf(route.query.period, now);
  const own = { workflowName: route.id };
  const from = new Date(time.from).toISOString();
  const [counters, state, causes, list, stats] = await Promise.all([
    api.counters({ ...own, from, every: time.every }, signal),
    api.workflow(route.id, signal),
    api.causes({ ...own, limit: CAUSES }, signal),
    api.runs({ ...own, limit: RUNS }, signal),
    api.stats(signal),
  ]);
  return {
    stats,
    buckets: bucketsOf(counters.items, time),
    countedAt: countedAt(counters.items),
    paused: state.paused,
    causes,
    runs: list.runs,
  };
}

export function View({ state, actions }) {
  const { route, data, now } = state;
  const age = data?.countedAt && new Date(data.countedAt).toISOString();
  const back = linkTo({ client: route.client, page: "overview", query: { period: route.query.period } });
  return html`
    <a class="back" href=${back}>← Overview</a>
    <div class="page-head">
      <h1><bdi>${route.id}</bdi></h1>
      ${age && html`<p class="soft">Counted <${When} text=${age} now=${now} /></p>`}
      <div class="page-acts">
        <${TimeSelect} ...${{ route, now, actions }} />
      </div>
    </div>
    <${Body} state=${state} actions=${actions} />
  `;
}

function Body({ state: { route, data, error, now }, actions }) {
  if (error && !data) return html`<${Problem} error=${error} actions=${actions} absent=${LIST_REFUSED} />`;
  if (!data) return html`<${Loading} />`;
  const { client, id: name } = route;
  const all = linkTo({ client, page: "runs", query: { workflow: name } });
  return html`
    <${Pause} key=${name} ...${{ name, paused: data.paused, actions }} />
    <${RunCharts} buckets=${data.buckets} client=${client} workflow=${name} />
    <${Causes} ...${{ causes: data.causes, client, name }} />
    <section class="part">
      <h2>Newest runs</h2>
      ${
        data.runs.length
          ? html`
              <${RunTable} runs=${data.runs} client=${client} now=${now} />
              <p><a href=${all}>All runs of this workflow</a></p>
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
              <span><bdi>${cause.stepName ?? "the handler"}</bdi>: <bdi>${cause.text}</bdi></span>
            </li>
          `,
        )}
      </ul>
      ${more && html`<p><a href=${all}>All problems</a></p>`}
    </section>
  `;
}

function Pause({ name, paused, actions }) {
  const [isAsking, setAsking] = useState(false);
  const [result, setResult] = useState({ isBusy: false, wrong: "" });
  const act = async (does, said) => {
    setResult({ isBusy: true, wrong: "" });
    try {
      await does(actions.api());
      setResult({ isBusy: false, wrong: "" });
      setAsking(false);
      actions.note(said);
      actions.refresh();
    } catch (error) {
      setResult({ isBusy: false, wrong: errorText(error) });
    }
  };
  const pause = (note) => act((api) => api.pauseWorkflow(name, note), "The workflow is paused.");
  const resume = () => act((api) => api.resumeWorkflow(name), "The workflow goes on within 15 minutes.");
  const close = () => {
    setResult({ isBusy: false, wrong: "" });
    setAsking(false);
  };
  if (paused) return html`<${Paused} ...${{ paused, resume, ...result }} />`;
  if (isAsking) return html`<${PauseForm} ...${{ pause, close, ...result }} />`;
  return html`<p><${Button} small onClick=${() => setAsking(true)}>Pause workflow…<//></p>`;
}

function Paused({ paused: { since, until, note }, resume, isBusy, wrong }) {
  return html`
    <div class="paused-bar" role="status">
      <${Icon} name="pending" />
      <span>
        <strong>Paused</strong> since ${fullTime(ms(since))}${until && `, until ${fullTime(ms(until))}`}${
          note && html`: <bdi>${note}</bdi>`
        }
      </span>
      <${Button} small primary disabled=${isBusy} onClick=${resume}>Resume workflow<//>
      ${wrong && html`<p class="error-text" role="alert">${wrong}</p>`}
    </div>
  `;
}

function PauseForm({ pause, close, isBusy, wrong }) {
  const field = useRef();
  const [note, setNote] = useState("");
  useLayoutEffect(() => field.current.focus(), []);
  const submit = (event) => {
    event.preventDefault();
    pause(note);
  };
  return html`
    <form class="paused-bar" onSubmit=${submit}>
      <label class="field">
        <span>Why? (others read this note)</span>
        <input
          ref=${field}
          maxlength=${NOTE_MAX}
          value=${note}
          onInput=${(event) => setNote(event.target.value)}
        />
      </label>
      <span>No run of it is called until it is resumed. New runs are kept.</span>
      <button type="submit" class="button small primary" disabled=${isBusy}>Pause workflow</button>
      <${Button} small onClick=${close}>Cancel<//>
      ${wrong && html`<p class="error-text" role="alert">${wrong}</p>`}
    </form>
  `;
}
