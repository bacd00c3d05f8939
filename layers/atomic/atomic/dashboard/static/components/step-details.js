// What of a step is looked up now and then: its URL, limits, ids, retry policy, and the headers sent.

import { endpointCommand, headersSent, startCommand } from "../core/curl.js";
import { dollars, duration, fullTime, ms, plural, retryInWords, visible } from "../core/format.js";
import { html } from "../vendor/preact-htm.js";
import { TraceLinks } from "./trace-links.js";
import { CopyButton, Fact } from "./widgets.js";

const KINDS = { timer: "a timer", event: "an event", value: "a value" };

export function Details({ step, run, state: { route, needsKey }, actions }) {
  const isCalled = step.kind === "http";
  const start = () => startCommand(step, route.client, { origin: location.origin, needsKey });
  const call = () => endpointCommand(step, Math.max(1, step.attempts));
  return html`
    <div class="panel-actions">
      <${CopyButton} text=${start} actions=${actions}>Copy as curl<//>
      ${isCalled && html`<${CopyButton} text=${call} actions=${actions}>Copy endpoint call<//>`}
    </div>
    <${Facts} step=${step} run=${run} />
    ${
      isCalled &&
      html`
        <h3>Retry policy</h3>
        <p>${retryInWords(step.retry, step.retriesUsed)}</p>
        <${Headers} step=${step} />
      `
    }
  `;
}

function Facts({ step, run }) {
  const nothing = `none, because this is ${KINDS[step.kind] ?? `a step of kind ${step.kind}`}`;
  return html`
    <dl class="facts narrow">
      <${Fact} name="URL"><code>${visible(step.stepInvokeUrl ?? nothing)}</code><//>
      <${Fact} name="Started">${fullTime(ms(step.createdAt))}<//>
      ${step.finishedAt && html`<${Fact} name="Ended">${fullTime(ms(step.finishedAt))}<//>`}
      ${step.deadlineAt && html`<${Fact} name="Deadline">${fullTime(ms(step.deadlineAt))}<//>`}
      ${step.onLost === "fail" && html`<${Fact} name="Lost attempt">fails the step, no retry<//>`}
      ${step.kind === "http" && html`<${Fact} name="Attempt time-out">${duration(step.attemptTimeout)}<//>`}
      ${step.generation > 1 && html`<${Fact} name="Redriven">${plural(step.generation - 1, "time")}<//>`}
      <${Fact} name="Step"><code>${step.id}</code><//>
      <${Fact} name="Trace"><code>${step.traceId}</code> <${TraceLinks} step=${step} /><//>
      ${
        step.parent === null &&
        run.costUsd !== null &&
        html`<${Fact} name="Run has cost">${dollars(run.costUsd)}<//>`
      }
    </dl>
  `;
}

function Headers({ step }) {
  const rows = headersSent(step, Math.max(1, step.attempts));
  return html`
    <details>
      <summary>Headers sent</summary>
      <dl class="facts narrow">
        ${rows.map(
          ([name, value, known]) => html`
            <${Fact} name=${name}><code class=${known ? "" : "soft"}>${visible(value)}</code><//>
          `,
        )}
      </dl>
    </details>
  `;
}
