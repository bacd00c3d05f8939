// One run: its steps on a time axis, and beside it the panel of a step. Without a choice, the panel has the
// step because of which the run failed, or the run itself.

import { RunActions } from "../components/acting.js";
import { Badge, CodeChanged, Icon, Paused } from "../components/icons.js";
import { RestartEdited } from "../components/restart.js";
import { StepLink, StepPanel } from "../components/step-panel.js";
import { Waterfall } from "../components/waterfall.js";
import { tookOf } from "../components/waterfall-row.js";
import { CopyButton, Fact, Loading, Problem, When } from "../components/widgets.js";
import { serverNow } from "../core/clock.js";
import { startCommand } from "../core/curl.js";
import { count, dollars, plural, visible } from "../core/format.js";
import { linkTo } from "../core/router.js";
import { countsOf, culpritOf, failedIn, nameOf } from "../core/rows.js";
import { isLive, isPaused, nextOf } from "../core/timeline.js";
import { html, useLayoutEffect, useRef } from "../vendor/preact-htm.js";
import { TITLES } from "./pages.js";

const CALLED_MS = 700;
const WAITING_MS = 5_000;
const ENDED_MS = 15_000;

/** How often a run is read again: often while an endpoint is called or a step is due, else seldom. */
export function everyMs(data) {
  if (!data) return CALLED_MS;
  const live = [data.root, ...data.steps].filter(isLive);
  if (!live.length) return ENDED_MS;
  if (live.some((step) => step.status === "running")) return CALLED_MS;
  const next = live.map((step) => nextOf(step, data.root)?.at ?? Number.POSITIVE_INFINITY);
  const left = Math.min(...next) - serverNow();
  return Math.min(WAITING_MS, Math.max(CALLED_MS, left));
}

export const loadedBy = ({ id }) => id;

/** Fetch the data of the view. */
export const load = ({ api, route, signal, before }) => api.run(route.id, before, signal);

const SIGNS = { succeeded: "✓", failed: "✗", cancelled: "⊘" };

/** Workflow and key, after a sign for the status: … while the run goes on. */
export function titleOf({ data: { root } }) {
  const sign = isPaused(root) ? "‖" : (SIGNS[root.status] ?? "…");
  return `${sign} ${visible(root.workflowName)} · ${root.idempotencyKey}`;
}

export function View({ state, actions }) {
  return html`
    <${Back} ...${state} />
    ${state.data ? html`<${Run} ...${{ state, actions }} />` : html`<${Absent} ...${{ state, actions }} />`}
  `;
}

function Run({ state, actions }) {
  const { route, data: run, now } = state;
  const body = useRef();
  const asked = useRef(false);
  const chosen = [run.root, ...run.steps].find((step) => step.id === route.query.step);
  const step = chosen ?? culpritOf(run) ?? run.root;
  const toPanel = () => body.current.querySelector(".panel").focus({ preventScroll: true });
  // The first choice adds an entry to the history: going back from it leads to the run, not to the list.
  const choose = (id, byKeyboard) => {
    asked.current = byKeyboard;
    if (id === route.query.step) toPanel();
    else actions.query({ step: id }, { keep: !route.query.step });
  };
  useFocus(body, chosen?.id, () => {
    if (asked.current) toPanel();
    asked.current = false;
  });
  return html`
    <${Head} state=${state} actions=${actions} />
    <div class="run-body ${chosen ? "is-chosen" : ""}" ref=${body}>
      <${Waterfall} run=${run} chosen=${step} shown=${chosen?.id} now=${now} choose=${choose} />
      <${StepPanel}
        key=${step.id}
        ...${{ step, run, state, actions }}
        close=${() => actions.query({ step: "" })}
      />
    </div>
  `;
}

/** When a choice ends, the focus goes back to its row; `chosen()` is called when one begins. */
function useFocus(body, id, chosen) {
  const before = useRef(id);
  useLayoutEffect(() => {
    const last = before.current;
    before.current = id;
    if (id && id !== last) chosen();
    const isLost = document.activeElement === document.body || document.activeElement.closest(".panel");
    if (last && !id && isLost) body.current.querySelector(`[data-step="${last}"]`)?.focus();
  }, [id]);
}

function Absent({ state: { error }, actions }) {
  return html`
    <h1 class="unseen">Run</h1>
    ${error ? html`<${Problem} error=${error} actions=${actions} />` : html`<${Loading} rows=${8} />`}
  `;
}

function Back({ route: { client }, lastList }) {
  const list = lastList?.client === client ? lastList : { client, page: "runs" };
  return html`<a class="back" href=${linkTo(list)}>← ${TITLES[list.page]}</a>`;
}

/**
 * Why a run failed, or what failed of one that goes on: the step, how often it was tried, and what its
 * endpoint said.
 */
function Why({ run, route: { client, id, query } }) {
  const culprit = culpritOf(run);
  const step = culprit ?? failedIn(run);
  if (!step) return null;
  const tries = step.attempts ? ` after ${plural(step.attempts, "attempt")}` : "";
  const said = step.errorExcerpt || step.error || "";
  const text = step.errorType && !said.startsWith(step.errorType) ? `${step.errorType}: ${said}` : said;
  const href = linkTo({ client, page: "run", id, query: { step: step.id } });
  return html`
    <section class="why" aria-label=${culprit ? "Why this run failed" : "What failed in this run"}>
      <${Icon} name="warning" />
      <p>
        <strong>${nameOf(step)} failed${tries}</strong>
        ${text && html`<span class="why-text">${text}</span>`}
        ${!culprit && html`<span class="why-live">${goesOn(run.root)}</span>`}
      </p>
      ${
        step !== run.root &&
        query.step !== step.id &&
        html`<a class="button small" href=${href}>Go to step</a>`
      }
    </section>
  `;
}

const goesOn = (root) =>
  isPaused(root)
    ? "The run has not failed: it is paused."
    : `The run still goes on: it is ${root.status}. Its handler may go on without this step.`;

function Head({ state: { route, data: run, now, needsKey }, actions }) {
  const { root } = run;
  const start = () => startCommand(root, route.client, { origin: location.origin, needsKey });
  return html`
    <header class="run-head">
      <div class="run-title">
        <h1>${visible(root.workflowName)}</h1>
        <${Badge} step=${root} />
        <${Paused} step=${root} withTime />
        <${CodeChanged} step=${root} />
      </div>
      <div class="run-actions">
        <${RunActions} run=${run} actions=${actions} />
        <${RestartEdited} root=${root} actions=${actions} />
        <${CopyButton} text=${start} actions=${actions}>Copy as curl<//>
        <${CopyButton} text=${() => location.href} actions=${actions}>Copy link<//>
      </div>
      <${Facts} run=${run} route=${route} now=${now} />
      <${Why} run=${run} route=${route} />
    </header>
  `;
}

function Facts({ run, route, now }) {
  const { root, steps, costUsd } = run;
  const { succeeded: done = 0, ...others } = countsOf(steps);
  const counted = Object.entries(others).map(([status, number]) => `, ${count(number)} ${status}`);
  const attempts = [root, ...steps].reduce((sum, step) => sum + step.attempts, 0);
  const link = (id) => html`<${StepLink} ...${{ id, run, route }} />`;
  return html`
    <dl class="facts">
      <${Fact} name="Key"><code>${root.idempotencyKey}</code><//>
      <${Fact} name="Run"><code>${root.runId}</code><//>
      <${Fact} name="Started"><${When} text=${root.createdAt} now=${now} /><//>
      <${Fact} name="Duration">${tookOf(root, now)}<//>
      <${Fact} name="Steps">
        ${steps.length ? `${count(done)} of ${count(steps.length)} done${counted.join("")}` : "none"}
      <//>
      <${Fact} name="Attempts">${count(attempts)}<//>
      ${costUsd !== null && html`<${Fact} name="Cost"><${Cost} usd=${costUsd} /><//>`}
      ${root.tags && html`<${Fact} name="Tags"><${Tags} tags=${root.tags} client=${route.client} /><//>`}
      ${root.hooks && html`<${Fact} name="Hooks"><${Hooks} hooks=${root.hooks} /><//>`}
      ${root.startedBy && html`<${Fact} name="Started by">${link(root.startedBy)}<//>`}
      ${root.restartOf && html`<${Fact} name="Restart of">${link(`${root.restartOf}-root`)}<//>`}
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
    return html`${number > 0 && ", "}<a href=${href} title="The runs with this tag">${visible(tag)}</a>`;
  });
}

function Cost({ usd }) {
  return html`<span title="Estimated by AWS list prices">${dollars(usd)}</span>`;
}
