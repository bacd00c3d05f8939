// The dialog in which the payload of a run is edited before the run is started again.

import { html, useState } from "../vendor/preact-htm.js";
import { DialogBody } from "./dialog.js";
import { isJson, JsonField } from "./json-field.js";

export function Editor({ question: { root }, actions, close }) {
  const [text, setText] = useState(root.payload.indented);
  return html`
    <${DialogBody}
      title="Restart ${root.workflowName} with edited input"
      verb="Restart…"
      disabled=${!isJson(text)}
      confirm=${() => ask(root, text, actions)}
      close=${close}
    >
      <${JsonField}
        label="Input"
        rows="14"
        value=${text}
        onInput=${(event) => setText(event.currentTarget.value)}
      />
    <//>
  `;
}

function ask(root, payload, actions) {
  actions.ask({
    title: "Restart with edited input?",
    text: [
      `A new run of ${root.workflowName} calls ${root.stepInvokeUrl} with this input.`,
      "It begins anew: what has succeeded is called again as well, under other keys.",
      "This run stays as it is.",
    ],
    verb: "Restart run",
    act: async (api) => {
      const { runId, idempotencyKey, status } = await api.restart(root.runId, payload);
      actions.go({ client: api.client, page: "run", id: runId });
      return `Restarted under the key ${idempotencyKey}: that run is ${status} now.`;
    },
  });
}
