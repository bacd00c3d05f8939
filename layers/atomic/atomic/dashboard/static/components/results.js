// The dialogs by which a person answers an open event.

import { visible } from "../core/format.js";
import { html, useState } from "../vendor/preact-htm.js";
import { DialogBody, useConfirm } from "./dialog.js";
import { Field } from "./fields.js";
import { isJson, JsonField } from "./json-field.js";

const APPROVED = '{"approved": true}';
const REASON_MAX_CHARS = 1000;
// Of a payload, in a dialog. The page shows all of it.
const SHOWN_CHARS = 600;

const of = ({ stepName, workflowName, idempotencyKey }) =>
  visible(`The event “${stepName}” of the workflow ${workflowName}, key ${idempotencyKey}`);

/** Ask, then complete the event as approved. `payload` is what is approved. */
export function askForApproval(event, actions, { isNull, text }) {
  const shown = text.length > SHOWN_CHARS ? `${text.slice(0, SHOWN_CHARS)}…` : text;
  actions.ask({
    title: `Approve “${event.stepName}”?`,
    text: [
      ...(isNull ? [] : [`It is about ${visible(shown)}`]),
      `${of(event)}, gets the result ${APPROVED}.`,
      "The workflow goes on with it at once.",
    ],
    verb: "Approve",
    act: async (api) => {
      await api.complete(event, APPROVED);
      return "Approved.";
    },
  });
}

/** Ask for the reason, then reject the event. */
export function askForReason(event, actions) {
  actions.ask({ Body: Answer, event, ...REJECTION });
}

/** Ask for the result, then complete the event with it. */
export function askForResult(event, actions) {
  actions.ask({ Body: Answer, event, ...RESULT });
}

const REJECTION = {
  title: (event) => `Reject “${event.stepName}”?`,
  text: (event) => `${of(event)}, fails with this reason. The workflow is told, and may go on.`,
  verb: "Reject",
  danger: true,
  initial: "",
  isReady: (text) => text !== "",
  input: (props) => html`<${Field} label="Reason" maxlength=${REASON_MAX_CHARS} ...${props} />`,
  send: (api, event, text) => api.reject(event, text),
  done: "Rejected.",
};

const RESULT = {
  title: (event) => `Send a result to “${event.stepName}”`,
  text: (event) => `${of(event)}, gets this value. The workflow goes on with it at once.`,
  verb: "Send",
  initial: APPROVED,
  isReady: isJson,
  input: (props) => html`<${JsonField} label="Result" rows="6" ...${props} />`,
  send: (api, event, text) => api.complete(event, text),
  done: "The result is sent.",
};

function Answer({ question, actions, close }) {
  const { event, title, text, verb, danger, initial, isReady, input, send, done } = question;
  const [typed, setTyped] = useState(initial);
  const act = async () => {
    await send(actions.api(), event, typed.trim());
    return done;
  };
  const { state, confirm } = useConfirm({ question, actions, act });
  return html`
    <${DialogBody}
      title=${title(event)}
      verb=${verb}
      danger=${danger}
      ...${state}
      disabled=${!isReady(typed.trim())}
      confirm=${confirm}
      close=${close}
    >
      <p>${text(event)}</p>
      ${input({ value: typed, onInput: (change) => setTyped(change.target.value) })}
    <//>
  `;
}
