// The steps that failed, the reasons, and redrives of one of them or of all that match the filters.

import { ask, askRedriveMany, REDRIVE } from "../components/acting.js";
import {
  Filters,
  isFiltered,
  PeriodFilter,
  periodOf,
  PERIODS,
  TextFilter,
  useClear,
} from "../components/filters.js";
import { nameOf } from "../components/waterfall.js";
import { Blank, Button, LIST_REFUSED, Loading, Problem, Table, When } from "../components/widgets.js";
import { count, plural } from "../core/format.js";
import { linkTo } from "../core/router.js";
import { html } from "../vendor/preact-htm.js";

const FILTERS = ["workflow", "key", "period", "from", "to"];
const PAGE = 50;
const EVERY_MS = 3000;
// Why a dead letter cannot be redriven.
const OVER = {
  handled: "An ancestor went on without it and succeeded.",
  cancelled: "Its run was cancelled.",
};

export const everyMs = () => EVERY_MS;
export const loadedBy = ({ query }) => JSON.stringify(query);

/** Fetch the data of the view. */
export async function load({ api, route, signal, now }) {
  const { workflow, key, cursor } = route.query;
  const wanted = {
    workflowName: workflow,
    keyPrefix: key,
    ...periodOf(route.query, now),
    cursor,
    limit: PAGE,
  };
  const [list, stats] = await Promise.all([api.deadLetters(wanted, signal), api.stats(signal)]);
  const next = list.next && new URLSearchParams(list.next.split("?")[1]).get("cursor");
  return { letters: list.deadLetters, next, stats };
}

export function View({ state, actions }) {
  const { route, data } = state;
  const change = (changes) => actions.query({ ...changes, cursor: "" });
  const { key, clear } = useClear(FILTERS, change);
  const redrive = () => redriveAll(state, actions);
  return html`
    <div class="page-head">
      <h1>Dead letters</h1>
      ${data && html`<p class="soft">${gaveUp(data.stats.deadLetters, route.query)}</p>`}
      ${data?.letters.length > 0 && html`<${Button} primary onClick=${redrive}>Redrive all that fit…<//>`}
    </div>
    <${Filters} key=${key}>
      <${TextFilter}
        label="Workflow"
        value=${route.query.workflow}
        change=${(workflow) => change({ workflow })}
        placeholder="its whole name"
      />
      <${TextFilter}
        label="Key begins with"
        value=${route.query.key}
        change=${(text) => change({ key: text })}
        placeholder="any"
      />
      <${PeriodFilter} label="Began" query=${route.query} change=${change} />
      ${isFiltered(route.query, FILTERS) && html`<${Button} small onClick=${clear}>Clear filters<//>`}
    <//>
    <${Body} state=${state} actions=${actions} clear=${clear} />
  `;
}

function gaveUp(number, query) {
  return `${plural(number, "step")} failed${isFiltered(query, FILTERS) ? ", filters aside" : ""}`;
}

function Body({ state: { route, data, error, now }, actions, clear }) {
  if (error && !data) return html`<${Problem} error=${error} actions=${actions} absent=${LIST_REFUSED} />`;
  if (!data) return html`<${Loading} />`;
  const { letters, next } = data;
  if (!letters.length) return html`<${Nothing} query=${route.query} clear=${clear} />`;
  const newest = () => actions.query({ cursor: "" });
  const older = () => actions.query({ cursor: next }, { keep: true });
  return html`
    <${Causes} letters=${letters} />
    <${Table}
      class="list letters"
      names=${["Step", "Cause", "Key", "Gave up", "Attempts", html`<span class="unseen">Act</span>`]}
      caption="Dead letters, the step that began last first"
    >
      ${letters.map((letter) => html`<${Row} key=${letter.id} ...${{ letter, route, now, actions }} />`)}
    <//>
    <nav class="pager" aria-label="Pages">
      ${route.query.cursor && html`<${Button} onClick=${newest}>Newest<//>`}
      <span class="soft">${letters.length} on this page</span>
      ${next && html`<${Button} onClick=${older}>Older<//>`}
    </nav>
  `;
}

function Row({ letter, route, now, actions }) {
  const href = linkTo({ client: route.client, page: "run", id: letter.runId, query: { step: letter.id } });
  const isRoot = letter.parent === null;
  return html`
    <tr>
      <td class="c-workflow">
        <a class="row-link" href=${href}>${isRoot ? letter.workflowName : nameOf(letter)}</a>
        <span class="row-under">${isRoot ? "the workflow itself" : letter.workflowName}</span>
      </td>
      <td class="c-cause">
        <span class="cause">${causeOf(letter)}</span>
        ${letter.error && html`<span class="row-error" title=${letter.error}>${letter.error}</span>`}
      </td>
      <td class="c-key"><code title=${letter.idempotencyKey}>${letter.idempotencyKey}</code></td>
      <td class="c-when"><${When} text=${letter.finishedAt} now=${now} /></td>
      <td class="c-number">${count(letter.attempts)}</td>
      <td class="c-act"><${Act} letter=${letter} actions=${actions} /></td>
    </tr>
  `;
}

function Act({ letter, actions }) {
  const reason = letter.notRedrivableReason;
  if (reason) return html`<span class="soft" title=${OVER[reason]}>${reason}</span>`;
  const name = `Redrive ${nameOf(letter)} of key ${letter.idempotencyKey}`;
  return html`
    <${Button} small aria-label=${name} onClick=${() => ask(REDRIVE, letter, actions)}>Redrive<//>
  `;
}

const causeOf = (letter) => (letter.responseStatus ? `Status ${letter.responseStatus}` : "No answer");

function Causes({ letters }) {
  const numbers = new Map();
  for (const letter of letters) numbers.set(causeOf(letter), (numbers.get(causeOf(letter)) ?? 0) + 1);
  const sorted = [...numbers].sort(([, a], [, b]) => b - a);
  return html`
    <ul class="causes" aria-label="Causes on this page">
      ${sorted.map(
        ([cause, number]) => html`
          <li key=${cause}>${cause}<span class="number">${count(number)}</span></li>
        `,
      )}
    </ul>
  `;
}

function Nothing({ query, clear }) {
  if (isFiltered(query, FILTERS)) {
    return html`
      <${Blank} icon="search" title="No dead letter fits these filters">
        <${Button} onClick=${clear}>Clear filters<//>
      <//>
    `;
  }
  return html`
    <${Blank} icon="succeeded" title="No dead letters">
      <p>
        A step stands here once its retries are used up, or its endpoint said that it never will work.
      </p>
    <//>
  `;
}

function redriveAll({ route, data, now }, actions) {
  const { workflow, key, period } = route.query;
  const { createdAfter, createdBefore } = periodOf(route.query, now);
  // Steps that fail while the question is open are not included; also, the API requires a filter.
  const filter = { failedBefore: new Date(now).toISOString() };
  if (workflow) filter.workflowName = workflow;
  if (key) filter.keyPrefix = key;
  if (createdAfter) filter.createdAfter = createdAfter;
  if (createdBefore) filter.createdBefore = createdBefore;
  const label = PERIODS.find(([name]) => name === (period ?? ""))[1];
  const words = [
    workflow && `workflow “${workflow}”`,
    key && `key beginning with “${key}”`,
    period && `created ${period === "custom" ? "in the chosen time" : `in the ${label}`}`,
  ].filter(Boolean);
  const isWhole = !data.next && !route.query.cursor;
  const redrivable = data.letters.filter((letter) => !letter.notRedrivableReason);
  const number = isWhole ? ` (${count(redrivable.length)})` : "";
  const which = words.length ? `with ${words.join(", ")}` : "of this client";
  askRedriveMany(filter, `All dead letters ${which}${number}`, actions);
}
