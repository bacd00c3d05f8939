// What a person answers to an event that a workflow waits for: approve, reject, or any other JSON.

import { html } from "../vendor/preact-htm.js";
import { withPart } from "./later.js";
import { Button } from "./widgets.js";

/** Whether a step waits for such an answer. */
export const isOpenEvent = (step) => step.kind === "event" && !step.finishedAt;

/** The buttons for an open event, which is about `payload`; none for a key that may not answer. */
export function AnswerEvent({ event, payload = event.payload, actions, small }) {
  if (!actions.may("signal")) return null;
  const ask = (what) => () =>
    withPart(
      () => import("./results.js"),
      actions,
      (results) => results[what](event, actions, payload),
    );
  return html`
    <div class="row-acts" role="group" aria-label="Answer the event">
      <${Button} primary small=${small} onClick=${ask("askForApproval")}>Approve…<//>
      <${Button} danger small=${small} onClick=${ask("askForReason")}>Reject…<//>
      <${Button} small=${small} onClick=${ask("askForResult")}>Send JSON…<//>
    </div>
  `;
}
