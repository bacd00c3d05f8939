// One key of flow control: its steps, which have a slot or wait in line, and what is pinned.

import { FlowActs } from "../components/flow-acts.js";
import {
  firstOf,
  isPinnable,
  isPinned,
  KeyBadges,
  limitsInWords,
  Meter,
  rateInWords,
  stepInWords,
} from "../components/flow-words.js";
import { Pause } from "../components/pause.js";
import { Fact, Loading, Problem, Since, Table } from "../components/widgets.js";
import { flowOf } from "../core/api-of-flow.js";
import { count, fullTime, ms, visible } from "../core/format.js";
import { linkTo } from "../core/router.js";
import { html } from "../vendor/preact-htm.js";

const STEPS = 100;
const EVERY_MS = 2000;
const ABSENT = "No step has named this key within a day, and nothing of it is pinned.";

const PAUSE = {
  what: "key",
  effect: "Steps that name it wait in line until it is resumed. What is inside goes on to its end.",
  resumed: "The key lets steps in again.",
  noteMax: 500,
  pause: (api, key, note) => flowOf(api).changeFlowKey(key, { paused: true, note: note.trim() }),
  resume: (api, key) => flowOf(api).changeFlowKey(key, { paused: false }),
};
// Since when it is paused is not known.
const pauseOf = ({ paused, note }) => paused && { note };

export const everyMs = () => EVERY_MS;
export const loadedBy = ({ id }) => id;

/** Fetch the data of the view. */
export async function load({ api, route, signal }) {
  const [key, steps, stats] = await Promise.all([
    flowOf(api).flowKey(route.id, signal),
    flowOf(api).flowSteps(route.id, { limit: STEPS }, signal),
    api.stats(signal),
  ]);
  return { key, steps, stats };
}

export function View({ state, actions }) {
  const { route, data } = state;
  return html`
    <a class="back" href=${linkTo({ client: route.client, page: "flow" })}>← Flow</a>
    <div class="page-head">
      <h1><bdi>${visible(route.id)}</bdi></h1>
      ${data && html`<${KeyBadges} of=${data.key} />`}
      ${data && html`<${FlowActs} of=${data.key} actions=${actions} />`}
    </div>
    <${Body} state=${state} actions=${actions} />
  `;
}

function Body({ state: { route, data, error, now }, actions }) {
  if (error && !data) return html`<${Problem} error=${error} actions=${actions} absent=${ABSENT} />`;
  if (!data) return html`<${Loading} />`;
  const { key, steps } = data;
  const { client } = route;
  return html`
    ${
      isPinnable(key.key) &&
      html`<${Pause} key=${key.key} ...${{ of: PAUSE, name: key.key, paused: pauseOf(key), actions }} />`
    }
    <${Facts} of=${key} now=${now} />
    <${Values} steps=${steps} of=${key} now=${now} />
    <${Steps} ...${{ title: "Running", steps: steps.running, all: key.running, client, now }} />
    <${Steps} ...${{ title: "In line", steps: steps.queued, all: key.queued, client, now }} />
  `;
}

function Facts({ of, now }) {
  const { running, queued, concurrency, pace, pinned, oldest } = of;
  return html`
    <section class="ranking">
      <dl class="facts narrow">
        <${Fact} name="Running"><${Meter} used=${running} most=${concurrency} /><//>
        <${Fact} name="Queued">
          ${count(queued)}${oldest && html`, the oldest waits for <${Since} text=${oldest} now=${now} />`}
        <//>
        <${Fact} name="Rate">
          ${pace ? `at most ${rateInWords(pace)}, the next at ${fullTime(ms(pace.nextAt))}` : "no limit"}
        <//>
        <${Fact} name="Pinned">
          ${isPinned(of) ? `${limitsInWords(pinned)}, over what steps ask for` : "nothing"}
        <//>
      </dl>
      ${
        !isPinnable(of.key) &&
        html`<p class="soft">Atomic made this line for a singleton. It cannot be pinned or paused.</p>`
      }
    </section>
  `;
}

/** The values of `fair` that take turns, each with its steps; nothing if no step has one. */
function Values({ steps: { running, queued }, of, now }) {
  const values = valuesOf(running, queued);
  if (values.every(({ fair }) => !fair)) return null;
  const isAll = running.length >= of.running && queued.length >= of.queued;
  return html`
    <section class="ranking">
      <h2>Fair values</h2>
      <p class="soft">Steps with different values take turns.${!isAll && " Counted of the steps below."}</p>
      <div class="scroll-x" tabindex="0" role="region" aria-label="Fair values">
        <table class="fair">
          <thead>
            <tr>
              ${["Value", "Running", "Queued", "Oldest waits"].map(
                (name) => html`<th scope="col">${name}</th>`,
              )}
            </tr>
          </thead>
          <tbody>
            ${values.map(
              (value) => html`
                <tr key=${value.fair}>
                  <td>${value.fair ? html`<bdi>${visible(value.fair)}</bdi>` : "none"}</td>
                  <td class="c-number">${count(value.running)}</td>
                  <td class="c-number">${count(value.queued)}</td>
                  <td class="c-number"><${Since} text=${value.oldest} now=${now} /></td>
                </tr>
              `,
            )}
          </tbody>
        </table>
      </div>
    </section>
  `;
}

/** Each value of `fair` with the numbers of its steps, that with the most in line first. */
function valuesOf(running, queued) {
  const values = new Map();
  const of = (fair) => {
    if (!values.has(fair)) values.set(fair, { fair, running: 0, queued: 0, oldest: null });
    return values.get(fair);
  };
  for (const { fair } of running) of(fair).running += 1;
  for (const { fair, since } of queued) {
    const value = of(fair);
    value.queued += 1;
    if (value.oldest === null || ms(since) < ms(value.oldest)) value.oldest = since;
  }
  return [...values.values()].sort((a, b) => b.queued - a.queued || b.running - a.running);
}

function Steps({ title, steps, all, client, now }) {
  if (!steps.length) return null;
  return html`
    <section class="part">
      <h2>${title}</h2>
      <p class="soft">${firstOf(steps.length, all)}</p>
      <${Table}
        class="list flow-steps"
        names=${["Step", "Key", "Fair value", "Priority", "Since"]}
        caption="${title}. Arrow keys move between steps, Enter opens the run of one."
      >
        ${steps.map((step) => html`<${Step} key=${step.id} step=${step} client=${client} now=${now} />`)}
      <//>
    </section>
  `;
}

function Step({ step, client, now }) {
  const { id, runId, idempotencyKey, fair, priority, since } = step;
  const href = linkTo({ client, page: "run", id: runId, query: { step: id } });
  return html`
    <tr>
      <td class="c-name"><a class="row-link" href=${href}><bdi>${stepInWords(step)}</bdi></a></td>
      <td class="c-key"><code title=${idempotencyKey}>${idempotencyKey}</code></td>
      <td class="c-fair">${fair ? html`<bdi>${visible(fair)}</bdi>` : "–"}</td>
      <td class="c-number"><span class="only-narrow">priority </span>${priority}</td>
      <td class="c-when">
        <span class="only-narrow">for </span><${Since} text=${since} now=${now} />
      </td>
    </tr>
  `;
}
