// The panel of one step: why it failed, its input and its result, its attempts, and the rest.

import { capital, fullTime, ms, plural, shortTime, ticking, visible } from "../core/format.js";
import { stackTraceOf } from "../core/json-lines.js";
import { linkTo } from "../core/router.js";
import { nameOf } from "../core/rows.js";
import { heldBy, isLive, nextOf } from "../core/timeline.js";
import { html, useState } from "../vendor/preact-htm.js";
import { StepActions } from "./acting.js";
import { AnswerEvent, isOpenEvent } from "./answer-event.js";
import { Attempts, CompareAttempts, errorOf } from "./attempts.js";
import { Badge, CodeChanged, Icon, Paused } from "./icons.js";
import { Json, TooLong } from "./json.js";
import { later, withPart } from "./later.js";
import { tookOf } from "./waterfall-row.js";
import { Button, CopyButton, Fact } from "./widgets.js";

// What a handler sends instead of the ids of its steps.
const EVERY_CHILD = "*";
const Details = later(() => import("./step-details.js").then((part) => part.Details));

/** The panel of `step`; `close()` leaves it. Use the step's id as its key. */
export function StepPanel({ step, run, state, actions, close }) {
  const { route, now } = state;
  const isCalled = step.kind === "http";
  const word = step.parent === null ? "run" : "step";
  const error = step.error && step.status !== "succeeded" ? errorOf(step) : "";
  // Several lines: a name in front of its own line would be of no use.
  const trace = step.status === "succeeded" ? null : stackTraceOf(step.response.text);
  return html`
    <aside class="panel" tabindex="-1" aria-label="${capital(word)} ${nameOf(step)}">
      <${Head} ...${{ step, word, now, close }} />
      <${CodeChanged} step=${step} />
      ${error && html`<p class="error-text">${error}</p>`}
      ${trace && html`<${Section} title="Stack trace"><${Trace} text=${trace} /><//>`}
      ${isOpenEvent(step) && html`<${AnswerEvent} small event=${step} actions=${actions} />`}
      <div class="panel-actions"><${StepActions} ...${{ step, run, actions }} /></div>
      <${Present} ...${{ step, run, route, now }} />
      ${
        // A value was posted as what is its result.
        step.kind !== "value" &&
        html`<${Section} title="Input"><${Input} ...${{ step, route, actions }} /><//>`
      }
      <${Section} title=${isCalled && step.status === "failed" ? "Response" : "Result"}>
        <${Answer} step=${step} client=${route.client} actions=${actions} />
      <//>
      ${
        isCalled &&
        html`<${Section} title="Attempts">
          <${Attempts} step=${step} now=${now} />
          <${CompareAttempts} step=${step} />
        <//>`
      }
      <${FoldedDetails} ...${{ step, run, state, actions }} />
    </aside>
  `;
}

function FoldedDetails(props) {
  const [isOpen, setOpen] = useState(false);
  return html`
    <details class="step-details" onToggle=${({ currentTarget }) => setOpen(currentTarget.open)}>
      <summary>Details</summary>
      ${isOpen && html`<${Details} ...${props} />`}
    </details>
  `;
}

function Head({ step, word, now, close }) {
  return html`
    <header class="panel-head">
      <h2>${nameOf(step)}</h2>
      <${Badge} step=${step} /><${Paused} step=${step} />
      <span class="soft">${tookOf(step, now)}</span>
      <button type="button" class="plain close" aria-label="Close the ${word}" onClick=${close}>
        <${Icon} name="close" />
      </button>
    </header>
  `;
}

function Section({ title, children }) {
  return html`<section><h3>${title}</h3>${children}</section>`;
}

function Trace({ text }) {
  const lines = text.split("\n").map(visible).join("\n");
  const label = { role: "region", "aria-label": "Stack trace" };
  return html`<pre class="json unwrapped" tabindex="0" ...${label}>${lines}</pre>`;
}

/** What of a step matters now: what it waits for, and the runs that it is tied to. */
function Present({ step, run, route, now }) {
  const next = nextOf(step, run.root);
  const held = heldBy(step, run.root);
  const ties = [
    ["Child run", step.childRunId && `${step.childRunId}-root`],
    ["Started by", step.startedBy],
    ["Continues", step.continuedFrom],
    ["Continued as", step.continuedAs],
    ["Restart of", step.restartOf && `${step.restartOf}-root`],
  ].filter(([, id]) => id);
  const links = step.waitingFor.map((id) =>
    id === EVERY_CHILD ? "every live step of its own" : html`<${StepLink} ...${{ id, run, route }} />`,
  );
  const heartbeatBy = isLive(step) && step.heartbeatBy;
  if (!next && !held && !ties.length && !links.length && !heartbeatBy && !step.answerBy) return null;
  return html`
    <dl class="facts narrow">
      ${held && html`<${Fact} name="Paused">${pauseInWords(held)}<//>`}
      ${next && html`<${Fact} name=${next.name}>${whenInWords(next.at, now)}<//>`}
      ${heartbeatBy && html`<${Fact} name="Next heartbeat by">${fullTime(ms(heartbeatBy))}<//>`}
      ${step.answerBy && html`<${Fact} name="Answer by">${fullTime(ms(step.answerBy))}<//>`}
      ${ties.map(([name, id]) => html`<${Fact} name=${name}><${StepLink} ...${{ id, run, route }} /><//>`)}
      ${links.length > 0 && html`<${Fact} name="Waiting for">${links}<//>`}
    </dl>
  `;
}

const pauseInWords = ({ since, until }) =>
  `since ${fullTime(ms(since))}, ${until ? `until ${fullTime(ms(until))}` : "until it is resumed"}`;

function whenInWords(at, now) {
  return at > now ? `in ${ticking(at - now + 999)}, at ${shortTime(at, at - now)}` : "is due";
}

/** A link to a step of this run, or to another run. */
export function StepLink({ id, run, route: { client } }) {
  const step = [run.root, ...run.steps].find((each) => each.id === id);
  const runId = id.slice(0, id.indexOf("-"));
  const query = id.endsWith("-root") && !step ? {} : { step: id };
  const href = linkTo({ client, page: "run", id: runId, query });
  return html`<a class="chip" href=${href}>${step ? nameOf(step) : `run ${runId}`}</a>`;
}

function Input({ step, route, actions }) {
  if (step.payloadBytes)
    return html`<${TooLong} bytes=${step.payloadBytes} path="${pathOf(step, route)}/payload" />`;
  return html`
    <${Json} name="Input" value=${step.payload} client=${route.client} />
    <${CopyButton} text=${() => step.payload.indented} actions=${actions}>Copy input<//>
  `;
}

function Answer({ step, client, actions }) {
  const isKnown = step.status === "succeeded" || step.responseStatus !== null;
  // Of an attempt that is followed by another, the status is kept, and what was answered is in its error.
  if (step.response.isNull && (!isKnown || isLive(step) || step.kind === "timer"))
    return html`<p class="soft">${isLive(step) ? "None yet." : "None."}</p>`;
  const kind = step.responseEncoding
    ? [step.responseContentType, sizeInWords(step.response), "as base64"].filter(Boolean).join(", ")
    : step.responseContentType;
  const said = [step.responseStatus && `Status ${step.responseStatus}`, kind].filter(Boolean).join(" · ");
  return html`
    ${said && html`<p class="soft">${said}</p>`}
    ${
      step.responseBytes
        ? html`<${TooLong} bytes=${step.responseBytes} path=${pathOf(step, { client })} />`
        : html`
            <${Json} name="Result" value=${step.response} client=${client} />
            <div class="panel-actions">
              <${CopyButton} text=${() => step.response.shown} actions=${actions}>Copy result<//>
              ${
                step.responseEncoding &&
                html`<${Button} small onClick=${() => save(step, actions)}>Download<//>`
              }
            </div>
          `
    }
  `;
}

const save = (step, actions) =>
  withPart(
    () => import("./download.js"),
    actions,
    (part) => part.download(step.response.shown, step.responseContentType, nameOf(step)),
  );

/** How many bytes a base64 text stands for; nothing for what the page does not have. */
function sizeInWords({ isNull, text }) {
  if (isNull) return "";
  const digits = text.replace(/[^A-Za-z0-9+/]/g, "").length;
  return plural(Math.floor((digits * 3) / 4), "byte");
}

const pathOf = (step, { client }) => `/${client}/steps/${step.id}`;
