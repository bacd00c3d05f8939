// Links to the traces and logs of a step, by templates that the operator of the server sets.

import { html } from "../vendor/preact-htm.js";

const NAMES = { traceLink: "Trace", logLink: "Logs" };
const PART = /\{(traceId|runId|stepId|workflowName|idempotencyKey)\}/g;

export function TraceLinks({ step }) {
  const { dataset } = document.getElementById("app");
  return Object.entries(NAMES)
    .filter(([setting]) => dataset[setting])
    .map(([setting, name]) => {
      const href = dataset[setting].replace(PART, (_, part) =>
        encodeURIComponent(part === "stepId" ? step.id : step[part]),
      );
      return html`<a class="chip" href=${href} target="_blank" rel="noreferrer">${name}</a>`;
    });
}
