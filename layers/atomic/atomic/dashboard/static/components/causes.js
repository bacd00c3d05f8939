// Causes of failures in words.

import { capital, fullTime, ms, visible } from "../core/format.js";
import { html } from "../vendor/preact-htm.js";
import { Fact } from "./widgets.js";

/** What failed: a step of a workflow, or its handler. Names may be written from right to left. */
export function CauseName({ cause: { stepName, workflowName } }) {
  if (!stepName) return html`<bdi>${visible(workflowName)}</bdi>`;
  return html`<bdi>${visible(stepName)}</bdi> in <bdi>${visible(workflowName)}</bdi>`;
}

export const causeName = ({ stepName, workflowName }) =>
  visible(stepName ? `${stepName} in ${workflowName}` : workflowName);

/** The status that its endpoint answered; else what Atomic found. */
export function answerOf({ responseStatus, errorKind }) {
  if (responseStatus) return `Status ${responseStatus}`;
  return errorKind ? capital(errorKind.replaceAll("_", " ")) : "No answer";
}

/** The runs that a filter of the API means, with its cause, as a list of facts: all of its conditions. */
export function FilterFacts({ filter, cause }) {
  const { createdAfter, createdBefore } = filter;
  const times = [
    createdAfter && `from ${fullTime(ms(createdAfter))}`,
    createdBefore && `before ${fullTime(ms(createdBefore))}`,
  ].filter(Boolean);
  return html`
    <dl class="facts narrow">
      <${Fact} name="Workflow"><bdi>${visible(cause.workflowName)}</bdi><//>
      <${Fact} name="Failed">
        ${cause.stepName ? html`step <bdi>${visible(cause.stepName)}</bdi>` : "the handler"}
      <//>
      <${Fact} name="Error">${cause.text}${cause.errorType && ` [${cause.errorType}]`}<//>
      ${times.length > 0 && html`<${Fact} name="Started">${times.join(", ")}<//>`}
      ${filter.dismissed && html`<${Fact} name="Dismissed">yes<//>`}
    </dl>
  `;
}
