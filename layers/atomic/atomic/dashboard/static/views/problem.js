// One cause: the runs that failed for it, to be redriven or dismissed, all of them or some.

import { answerOf, CauseName, causeName } from "../components/causes.js";
import { Filters, isFiltered, PeriodFilter, periodOf, useClear } from "../components/filters.js";
import { askAll, askSome, doEach } from "../components/many.js";
import {
  Blank,
  busyIf,
  Button,
  LIST_REFUSED,
  Loading,
  PageTurner,
  Problem,
  Table,
  useTop,
  When,
} from "../components/widgets.js";
import { MANY } from "../core/bulks.js";
import { count, errorText, needAction, plural, visible } from "../core/format.js";
import { cursorOf, pagesBefore } from "../core/paging.js";
import { linkTo } from "../core/router.js";
import { html, useState } from "../vendor/preact-htm.js";

const FILTERS = ["period", "from", "to"];
const PAGE = 50;
const CAUSES = 100;
const EVERY_MS = 3000;
const STATES = ["dismissed", "handled"];
const COLUMNS = ["Key", "Error", "Started", "Failed"];

export const everyMs = () => EVERY_MS;
export const loadedBy = ({ id, query }) => JSON.stringify([id, query]);

const stateOf = ({ state }) => (STATES.includes(state) ? state : "open");

/** Fetch the data of the view. A cause that nothing has any more is as it was before. */
export async function load({ api, route, signal, now, before }) {
  const state = stateOf(route.query);
  const list = {
    cause: route.id,
    ...periodOf(route.query, now),
    cursor: route.query.cursor,
    limit: PAGE,
  };
  const causesOf = async (workflowName) =>
    (await api.causes({ state, limit: CAUSES, workflowName }, signal)).causes;
  const [causes, found, stats] = await Promise.all([
    causesOf(before?.cause?.workflowName),
    state === "handled"
      ? api.deadLetters(list, signal)
      : api.runs({ ...list, dismissed: state === "dismissed", progress: false }, signal),
    api.stats(signal),
  ]);
  const runs = found.runs ?? found.deadLetters;
  const inThese = (list) => list.find((cause) => cause.id === route.id);
  let known = inThese(causes);
  // It may have fewer runs than so many others: those of its workflow alone are fewer.
  if (!known && !before?.cause && runs.length) known = inThese(await causesOf(runs[0].workflowName));
  const cause = known ?? (before?.cause ? { ...before.cause, count: 0 } : null);
  const trail = pagesBefore(route.query, before);
  return { cause, runs, next: cursorOf(found.next), query: route.query, trail, stats };
}

export const titleOf = ({ route, data: { cause } }) =>
  cause && `${causeName(cause)} · Problem · ${route.client}`;

export function View({ state, actions }) {
  const { route, data } = state;
  const change = (changes) => actions.query({ ...changes, cursor: "" });
  const { key, clear } = useClear(FILTERS, change);
  useTop(route.query.cursor ?? "");
  const list = linkTo({ client: route.client, page: "problems", query: { state: route.query.state } });
  return html`
    <a class="back" href=${list}>← Problems</a>
    <${Head} state=${state} actions=${actions} />
    <${Filters} key=${key}>
      <${PeriodFilter} label="Started" query=${route.query} change=${change} />
      ${isFiltered(route.query, FILTERS) && html`<${Button} small onClick=${clear}>Clear filters<//>`}
    <//>
    <${Body} key=${JSON.stringify(route.query)} ...${{ state, actions, clear, data }} />
  `;
}

function Head({ state: { route, data, now, isOld }, actions }) {
  const cause = data?.cause;
  if (!cause) return html`<h1 class="unseen">Problem</h1>`;
  const state = stateOf(route.query);
  const periodNow = () => periodOf(route.query, now);
  const all = (what) => () => {
    const filter = { cause: cause.id, dismissed: state === "dismissed", ...periodNow() };
    askAll({ what, filter, cause }, actions);
  };
  const mayAct = !isOld && actions.may("act") && state !== "handled" && data.runs.length > 0;
  // Only the dialog counts the runs of a time.
  const number = Object.keys(periodNow()).length ? "those of this time" : count(cause.count);
  return html`
    <header class="page-head problem-head">
      <h1><${CauseName} cause=${cause} /></h1>
      <span class="cause">${answerOf(cause)}</span>
      ${isOld && html`<p class="soft" role="status">Loading…</p>`}
      ${
        mayAct &&
        html`<div class="page-acts">
          <${Button} primary onClick=${all(MANY.redrive)}>Redrive ${number}…<//>
          ${state === "open" && html`<${Button} onClick=${all(MANY.dismiss)}>Dismiss ${number}…<//>`}
        </div>`
      }
      <p class="problem-text">${cause.text}${cause.errorType && html` <code>${cause.errorType}</code>`}</p>
    </header>
  `;
}

function Body({ state: { route, data, error, now, isOld }, actions, clear }) {
  const [chosen, setChosen] = useState(new Set());
  if (error && (!data || isOld))
    return html`<${Problem} error=${error} actions=${actions} absent=${LIST_REFUSED} />`;
  if (!data || (isOld && !data.runs.length)) return html`<${Loading} />`;
  if (!data.runs.length) return html`<${Nothing} ...${{ route, now, actions, clear }} />`;
  const isHandled = stateOf(route.query) === "handled";
  const mayAct = actions.may("act") && !isHandled && !isOld;
  const tick = (id, isOn) => {
    const next = new Set(chosen);
    if (isOn) next.add(id);
    else next.delete(id);
    setChosen(next);
  };
  const some = data.runs.filter((run) => chosen.has(run.runId));
  const tickAll = (isOn) => setChosen(new Set(isOn ? data.runs.map((run) => run.runId) : []));
  return html`
    ${mayAct && html`<${Chosen} ...${{ some, route, data, actions, tickAll }} />`}
    <${Table}
      ...${busyIf(isOld, `list failed ${mayAct ? "with-ticks" : ""}`)}
      names=${[...(mayAct ? [html`<span class="unseen">Choose</span>`] : []), ...COLUMNS]}
      caption="What failed for this cause, the newest first. Arrow keys move, Enter opens."
    >
      ${data.runs.map(
        (run) => html`
          <${Row}
            key=${run.id}
            isOn=${chosen.has(run.runId)}
            ...${{ run, cause: data.cause, route, now, mayAct, tick }}
          />
        `,
      )}
    <//>
    <${PageTurner} ...${{ route, next: data.next, newer: data.trail?.at(-1), actions, isOld }}>
      ${count(data.runs.length)} on this page${data.cause && `, ${count(data.cause.count)} of this cause`}
    <//>
  `;
}

function Chosen({ some, route, data, actions, tickAll }) {
  const isAll = some.length === data.runs.length;
  const ask = (what) => () => askSome({ what, runs: some, cause: data.cause }, actions);
  const state = stateOf(route.query);
  const button = (what) =>
    some.length > 0 &&
    html`
      <${Button} small disabled=${!data.cause} onClick=${ask(what)}>
        ${what.verb} ${count(some.length)}…
      <//>
    `;
  return html`
    <div class="chosen-bar" role="group" aria-label="Chosen runs">
      <label>
        <input type="checkbox" checked=${isAll} onChange=${(event) => tickAll(event.target.checked)} />
        All on this page
      </label>
      <span class="soft">${plural(some.length, "run")} chosen</span>
      ${button(MANY.redrive)}
      ${state === "open" && button(MANY.dismiss)}
      ${
        state === "dismissed" &&
        some.length > 0 &&
        html`<${Button} small onClick=${() => takeBack(some, actions)}>
          Take ${count(some.length)} back
        <//>`
      }
    </div>
  `;
}

/** Nothing is called or lost by it, so nobody is asked. */
async function takeBack(runs, actions) {
  const api = actions.api();
  try {
    await doEach(runs, (run) => api.undismiss(run.runId), () => {});
    actions.note(`${needAction(runs.length)} again.`);
  } catch (error) {
    actions.note(errorText(error), true);
  }
  actions.refresh();
}

/** The error of a run is often only that of its handler: a step that is the cause is shown in its place. */
function Row({ run, cause, route, now, mayAct, tick, isOn }) {
  const isStep = run.parent !== null;
  const said = !isStep && cause?.stepName ? `${visible(cause.stepName)}: ${cause.text}` : run.error;
  const href = linkTo({
    client: route.client,
    page: "run",
    id: run.runId,
    query: isStep ? { step: run.id } : {},
  });
  const note = visible(run.dismissed?.note ?? "");
  return html`
    <tr>
      ${
        mayAct &&
        html`<td class="c-tick">
          <label>
            <input
              type="checkbox"
              aria-label="Choose the run with key ${run.idempotencyKey}"
              checked=${isOn}
              onChange=${(event) => tick(run.runId, event.target.checked)}
            />
          </label>
        </td>`
      }
      <td class="c-key-link">
        <a class="row-link" href=${href}><code>${run.idempotencyKey}</code></a>
        ${note && html`<span class="row-under" title=${note}>${note}</span>`}
      </td>
      <td class="c-error"><span class="row-text" title=${run.error}>${said}</span></td>
      <td class="c-when c-started"><${When} text=${run.createdAt} now=${now} /></td>
      <td class="c-when"><${When} text=${run.finishedAt} now=${now} /></td>
    </tr>
  `;
}

function Nothing({ route, now, actions, clear }) {
  if (route.query.cursor) {
    return html`
      <${Blank} icon="empty" title="Nothing older">
        <${Button} onClick=${() => actions.query({ cursor: "" })}>Back to the newest<//>
      <//>
    `;
  }
  if (Object.keys(periodOf(route.query, now)).length) {
    return html`
      <${Blank} icon="search" title="No run of this cause fits these filters">
        <${Button} onClick=${clear}>Clear filters<//>
      <//>
    `;
  }
  return html`
    <${Blank} icon="succeeded" title="No run has this cause now">
      <p>Its runs were redriven or dismissed, or have expired.</p>
    <//>
  `;
}
