// Failures by their causes, that of the most runs first: what needs action, what was dismissed, what was
// handled by its workflow.

import { answerOf, CauseName, causeName } from "../components/causes.js";
import { Filters, isFiltered, TextFilter, useClear } from "../components/filters.js";
import { askAll } from "../components/many.js";
import {
  Blank,
  busyIf,
  Button,
  LIST_REFUSED,
  Loading,
  Problem,
  Table,
  When,
} from "../components/widgets.js";
import { MANY } from "../core/bulks.js";
import { count, plural } from "../core/format.js";
import { linkTo } from "../core/router.js";
import { namesWith } from "../core/search.js";
import { html } from "../vendor/preact-htm.js";

const FILTERS = ["workflow"];
const PAGE = 100;
const EVERY_MS = 3000;
// The name in the address, the text, and the word of the API.
const TABS = [
  ["", "Needs action", "open"],
  ["dismissed", "Dismissed", "dismissed"],
  ["handled", "Handled", "handled"],
];
// Where a tab has nothing to show.
const EMPTY = {
  "": ["No problem needs action", "A failed run is listed here, with the step that made it fail."],
  dismissed: ["No dismissed runs", "A failed run is listed here after somebody has dismissed it."],
  handled: ["No handled failures", "A failed step is listed here when its workflow went on without it."],
};

export const everyMs = () => EVERY_MS;
export const loadedBy = ({ query }) => JSON.stringify(query);

const tabOf = ({ state = "" }) => TABS.find(([name]) => name === state) ?? TABS[0];

/** Fetch the data of the view. Causes of the workflow of this name; if there is none, of part of it. */
export async function load({ api, route, signal, before }) {
  const [tab, , state] = tabOf(route.query);
  const { workflow } = route.query;
  const wanted = { workflowName: workflow, state, limit: PAGE };
  const [exact, stats] = await Promise.all([api.causes(wanted, signal), api.stats(signal)]);
  const isPart = workflow && !exact.causes.length;
  const found = isPart ? await api.causes({ state, limit: PAGE }, signal) : exact;
  const shown = found.causes.map((cause) => cause.workflowName);
  // What was offered once stays: with a filter, the server names that workflow only.
  const names = [...new Set([...(before?.names ?? []), ...shown])].sort();
  const fits = ({ workflowName }) => namesWith(workflow, [workflowName]).length > 0;
  const causes = isPart ? found.causes.filter(fits) : found.causes;
  return { ...found, tab, causes, names, stats };
}

export const titleOf = ({ route: { client, query } }) =>
  [query.workflow, tabOf(query)[0] && tabOf(query)[1], "Problems", client].filter(Boolean).join(" · ");

export function View({ state, actions }) {
  const { route, data, isOld } = state;
  const { key, clear } = useClear(FILTERS, actions.query);
  return html`
    <div class="page-head">
      <h1>Problems</h1>
      ${data && html`<p class="soft">${isOld ? "Loading…" : inWords(data)}</p>`}
    </div>
    <${Tabs} route=${route} needsAction=${data?.stats.needsAction} />
    <${Filters} key=${key}>
      <${TextFilter}
        label="Workflow"
        value=${route.query.workflow}
        change=${(workflow) => actions.query({ workflow })}
        list="workflows"
        placeholder="a name, or a part of it"
      />
      <datalist id="workflows">
        ${data?.names.map((name) => html`<option value=${name} />`)}
      </datalist>
      ${isFiltered(route.query, FILTERS) && html`<${Button} small onClick=${clear}>Clear filters<//>`}
    <//>
    <${Body} ...${{ state, actions, clear }} />
  `;
}

function inWords({ causes, more, isAll, tab }) {
  const number = causes.reduce((sum, cause) => sum + cause.count, 0);
  const least = isAll && !more ? "" : "at least ";
  const others = more ? "more than " : "";
  const of = tab === "handled" ? "step" : "run";
  return `${least}${plural(number, of)}, ${others}${plural(causes.length, "cause")}`;
}

function moreInWords(workflow, tab) {
  const most = `The ${PAGE} with most ${tab === "handled" ? "steps" : "runs"}`;
  if (!workflow) return `${most} are shown. Filter by the whole name of a workflow for others.`;
  return `${most} are looked at. The whole name of a workflow finds others.`;
}

function Tabs({ route, needsAction }) {
  const [chosen] = tabOf(route.query);
  return html`
    <nav class="tabs" aria-label="Problems">
      ${TABS.map(
        ([name, text]) => html`
          <a
            href=${linkTo({ ...route, query: { ...route.query, state: name } })}
            aria-current=${name === chosen ? "page" : undefined}
          >
            ${text}
            ${name === "" && needsAction > 0 && html`<span class="number bad">${count(needsAction)}</span>`}
          </a>
        `,
      )}
    </nav>
  `;
}

// Rows stay those of the tab that they were read for until the chosen one is there.
function Body({ state: { route, data, error, now, isOld }, actions, clear }) {
  if (error && (!data || isOld))
    return html`<${Problem} error=${error} actions=${actions} absent=${LIST_REFUSED} />`;
  if (!data || (isOld && !data.causes.length)) return html`<${Loading} />`;
  const { tab } = data;
  if (!data.causes.length) return html`<${Nothing} ...${{ route, clear, tab }} />`;
  const mayAct = actions.may("act") && tab !== "handled";
  return html`
    <${Table}
      ...${busyIf(isOld, `list problems ${mayAct ? "with-acts" : ""}`)}
      names=${[
        "Cause",
        "Answer",
        tab === "handled" ? "Steps" : "Runs",
        "Last started",
        ...(mayAct ? [html`<span class="unseen">Act</span>`] : []),
      ]}
      caption="Causes of failures, that of the most first. Arrow keys move between them, Enter opens one."
    >
      ${data.causes.map(
        (cause) =>
          html`<${Row} key=${cause.id} ...${{ cause, route, now, actions, tab, mayAct, isOld }} />`,
      )}
    <//>
    ${data.more && html`<p class="soft">${moreInWords(route.query.workflow, tab)}</p>`}
  `;
}

function Row({ cause, route, now, actions, tab, mayAct, isOld }) {
  const href = linkTo({ client: route.client, page: "problem", id: cause.id, query: { state: tab } });
  return html`
    <tr>
      <td class="c-problem">
        <a class="row-link" href=${href}><${CauseName} cause=${cause} /></a>
        <span class="row-text" title=${cause.text}>${cause.text}</span>
      </td>
      <td class="c-cause"><span class="cause">${answerOf(cause)}</span></td>
      <td class="c-number c-count">${count(cause.count)}</td>
      <td class="c-when">
        <${When} text=${cause.lastCreatedAt} now=${now} />${" "}
        <span class="row-under">first <${When} text=${cause.firstCreatedAt} now=${now} /></span>
      </td>
      ${mayAct && html`<td class="c-act">${!isOld && html`<${Acts} ...${{ cause, actions, tab }} />`}</td>`}
    </tr>
  `;
}

function Acts({ cause, actions, tab }) {
  const filter = { cause: cause.id, dismissed: tab === "dismissed" };
  const button = (what, looks) => html`
    <${Button}
      small
      ...${looks}
      aria-label="${what.verb} ${plural(cause.count, "run")} of ${causeName(cause)}"
      onClick=${() => askAll({ what, filter, cause }, actions)}
    >
      ${what.verb} ${count(cause.count)}…
    <//>
  `;
  return html`
    <div class="row-acts">
      ${button(MANY.redrive, { primary: true })} ${tab === "" && button(MANY.dismiss)}
    </div>
  `;
}

function Nothing({ route, clear, tab }) {
  if (isFiltered(route.query, FILTERS)) {
    return html`
      <${Blank} icon="search" title="No problem fits these filters">
        <${Button} onClick=${clear}>Clear filters<//>
      <//>
    `;
  }
  const [title, text] = EMPTY[tab];
  return html`<${Blank} icon="succeeded" title=${title}><p>${text}</p><//>`;
}
