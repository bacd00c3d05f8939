// The panel of one step.

import { endpointCommand, headersSent, startCommand } from "../core/curl.js";
import {
  dollars,
  duration,
  fullTime,
  ms,
  plural,
  retryInWords,
  shortTime,
  ticking,
  timeOfDay,
} from "../core/format.js";
import { linkTo } from "../core/router.js";
import { isLive, nextOf, outcomeOf } from "../core/timeline.js";
import { html, useLayoutEffect, useRef } from "../vendor/preact-htm.js";
import { StepActions } from "./acting.js";
import { Badge, CodeChanged, Icon, Paused } from "./icons.js";
import { Json, TooLong } from "./json.js";
import { nameOf, tookOf } from "./waterfall.js";
import { CopyButton, Fact } from "./widgets.js";

// What a handler sends instead of the ids of its steps.
const EVERY_CHILD = "*";
const KINDS = { timer: "a timer", event: "an event", value: "a value" };
const OUTCOMES = {
  succeeded: "succeeded",
  retryable: "failed",
  permanent: "failed, no retry",
  suspended: "suspended, to wait",
  deferred: "deferred, not counted",
  no_answer: "lost, not counted",
  running: "running",
};

/** The panel of `step`. Use the step's id as its key. */
export function StepPanel({ step, run, state, actions }) {
  const element = useRef();
  useLayoutEffect(() => reveal(element.current), []);
  const { route, now } = state;
  const isCalled = step.kind === "http";
  // For a step that failed, the answer of its endpoint matters most, so it comes first.
  const isFailed = step.status === "failed";
  const answer = html`
    <${Section} title=${isCalled ? "Response" : "Result"}>
      <${Answer} step=${step} client=${route.client} actions=${actions} />
    <//>
  `;
  return html`
    <aside ref=${element} class="panel" aria-label="Step ${nameOf(step)}">
      <${Head} step=${step} actions=${actions} />
      <${CodeChanged} step=${step} />
      ${step.error && step.status !== "succeeded" && html`<p class="error-text">${errorOf(step)}</p>`}
      <${Acts} ...${{ step, run, state, actions }} />
      <${Facts} ...${{ step, run, route, now }} />
      ${isCalled && html`<${Attempts} step=${step} now=${now} />`}
      ${isFailed && answer}
      ${
        isCalled &&
        html`<${Section} title="Retry policy"><p>${retryInWords(step.retry, step.retriesUsed)}</p><//>`
      }
      ${
        // A value was posted as what is its result.
        step.kind !== "value" &&
        html`<${Section} title="Payload">
          ${
            step.payloadBytes
              ? html`<${TooLong} bytes=${step.payloadBytes} path="${pathOf(step, route)}/payload" />`
              : html`
                  <${Json} name="Payload" value=${step.payload} client=${route.client} />
                  <${CopyButton} text=${() => step.payload.indented} actions=${actions}>Copy payload<//>
                `
          }
        <//>`
      }
      ${!isFailed && answer}
      ${isCalled && html`<${Headers} step=${step} />`}
    </aside>
  `;
}

/** On a narrow page the panel is below the steps. */
function reveal(element) {
  if (element.getBoundingClientRect().top > innerHeight * 0.6) element.scrollIntoView({ block: "start" });
}

function Head({ step, actions }) {
  const close = () => actions.query({ step: "" });
  return html`
    <header class="panel-head">
      <h2>${nameOf(step)}</h2>
      <${Badge} step=${step} /><${Paused} step=${step} />
      <button type="button" class="plain close" aria-label="Close the step" onClick=${close}>
        <${Icon} name="close" />
      </button>
    </header>
  `;
}

function Section({ title, children }) {
  return html`<section><h3>${title}</h3>${children}</section>`;
}

function Acts({ step, run, state: { route, needsKey }, actions }) {
  const start = () => startCommand(step, route.client, { origin: location.origin, needsKey });
  const call = () => endpointCommand(step, Math.max(1, step.attempts));
  return html`
    <div class="panel-actions">
      <${StepActions} ...${{ step, run, actions }} />
      <${CopyButton} text=${start} actions=${actions}>Copy as curl<//>
      ${step.kind === "http" && html`<${CopyButton} text=${call} actions=${actions}>Copy endpoint call<//>`}
    </div>
  `;
}

function Facts({ step, run, route, now }) {
  const next = nextOf(step);
  const nothing = `nothing: this is ${KINDS[step.kind] ?? `a step of kind ${step.kind}`}`;
  const ties = [
    ["Run", step.childRunId && `${step.childRunId}-root`],
    ["Started by", step.startedBy],
    ["Goes on for", step.continuedFrom],
    ["Goes on as", step.continuedAs],
    ["Restart of", step.restartOf && `${step.restartOf}-root`],
  ].filter(([, id]) => id);
  const links = step.waitingFor.map((id) =>
    id === EVERY_CHILD ? "every live step of its own" : html`<${StepLink} ...${{ id, run, route }} />`,
  );
  return html`
    <dl class="facts narrow">
      <${Fact} name="Calls"><code>${step.stepInvokeUrl ?? nothing}</code><//>
      <${Fact} name="Started">${fullTime(ms(step.createdAt))}<//>
      <${Fact} name="Took">${tookOf(step, now)}<//>
      ${next && html`<${Fact} name=${next.name}>${whenInWords(next.at, now)}<//>`}
      ${step.deadlineAt && html`<${Fact} name="Deadline">${fullTime(ms(step.deadlineAt))}<//>`}
      ${
        isLive(step) &&
        step.heartbeatBy &&
        html`<${Fact} name="Next heartbeat by">${fullTime(ms(step.heartbeatBy))}<//>`
      }
      ${step.answerBy && html`<${Fact} name="Answer by">${fullTime(ms(step.answerBy))}<//>`}
      ${step.onLost === "fail" && html`<${Fact} name="Lost attempt">fails the step, no retry<//>`}
      ${step.kind === "http" && html`<${Fact} name="Attempt time-out">${duration(step.attemptTimeout)}<//>`}
      ${step.generation > 1 && html`<${Fact} name="Redriven">${plural(step.generation - 1, "time")}<//>`}
      ${ties.map(([name, id]) => html`<${Fact} name=${name}><${StepLink} ...${{ id, run, route }} /><//>`)}
      ${links.length > 0 && html`<${Fact} name="Waiting for">${links}<//>`}
      <${Fact} name="Trace"><code>${step.traceId}</code><//>
      <${Fact} name="Step"><code>${step.id}</code><//>
      ${
        step.parent === null &&
        run.costUsd !== null &&
        html`<${Fact} name="Run has cost">${dollars(run.costUsd)}<//>`
      }
    </dl>
  `;
}

/** The error of a step or of an attempt, with the name that its endpoint gave it. */
function errorOf({ error, errorType }) {
  return errorType ? `${error} [${errorType}]` : error;
}

function whenInWords(at, now) {
  return at > now ? `in ${ticking(at - now + 999)}, at ${shortTime(at, at - now)}` : "is due";
}

function StepLink({ id, run, route: { client } }) {
  const step = [run.root, ...run.steps].find((each) => each.id === id);
  const runId = id.slice(0, id.indexOf("-"));
  const query = id.endsWith("-root") && !step ? {} : { step: id };
  const href = linkTo({ client, page: "run", id: runId, query });
  return html`<a class="chip" href=${href}>${step ? nameOf(step) : `run ${runId}`}</a>`;
}

function Attempts({ step, now }) {
  const kept = step.attemptLog.length;
  if (!kept) return html`<${Section} title="Attempts"><${None} step=${step} /><//>`;
  return html`
    <${Section} title="Attempts">
      ${step.attempts > kept && html`<p class="soft">The newest ${kept} of ${step.attempts} are kept.</p>`}
      <ol class="attempts">
        ${[...step.attemptLog]
          .reverse()
          .map((attempt) => html`<${Attempt} key=${attempt.number} ...${{ step, attempt, now }} />`)}
      </ol>
    <//>
  `;
}

function None({ step }) {
  return html`<p class="soft">${isLive(step) ? "None yet." : "None."}</p>`;
}

function Attempt({ step, attempt, now }) {
  const started = ms(attempt.startedAt);
  const isRunning = attempt.endedAt === null && isLive(step);
  const kind = outcomeOf(step, attempt);
  return html`
    <li>
      <span class="dot is-${kind}" aria-hidden="true" />
      <span class="attempt-number">#${attempt.number}</span>
      <span class="attempt-outcome">
        ${[OUTCOMES[kind] ?? kind, attempt.status].filter(Boolean).join(" · ")}
      </span>
      <span class="attempt-took">${isRunning ? ticking(now - started) : duration(attempt.duration)}</span>
      <time class="soft" datetime=${attempt.startedAt} title=${fullTime(started)}>
        ${timeOfDay(started)}
      </time>
      ${attempt.build && html`<span class="attempt-error soft">build <code>${attempt.build}</code></span>`}
      ${attempt.error && html`<span class="attempt-error">${errorOf(attempt)}</span>`}
      ${
        attempt.late &&
        html`<span class="attempt-error soft">Answered late, which changed nothing: ${attempt.late}</span>`
      }
    </li>
  `;
}

function Answer({ step, client, actions }) {
  const isKnown = step.status === "succeeded" || step.responseStatus !== null;
  if (step.response.isNull && (!isKnown || step.kind === "timer")) return html`<${None} step=${step} />`;
  const kind = step.responseEncoding
    ? `${step.responseContentType ?? ""}, as base64`
    : step.responseContentType;
  return html`
    <p class="soft">
      ${[step.responseStatus && `Status ${step.responseStatus}`, kind].filter(Boolean).join(" · ")}
    </p>
    ${
      step.responseBytes
        ? html`<${TooLong} bytes=${step.responseBytes} path=${pathOf(step, { client })} />`
        : html`
            <${Json} name="Response" value=${step.response} client=${client} />
            <${CopyButton} text=${() => step.response.shown} actions=${actions}>Copy response<//>
          `
    }
  `;
}

const pathOf = (step, { client }) => `/${client}/steps/${step.id}`;

function Headers({ step }) {
  const rows = headersSent(step, Math.max(1, step.attempts));
  return html`
    <details>
      <summary>Headers sent</summary>
      <dl class="facts narrow">
        ${rows.map(
          ([name, value, known]) => html`
            <${Fact} name=${name}><code class=${known ? "" : "soft"}>${value}</code><//>
          `,
        )}
      </dl>
    </details>
  `;
}
