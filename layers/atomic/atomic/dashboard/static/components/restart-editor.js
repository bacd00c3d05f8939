// The dialog in which the payload of a run is edited before the run is started again.

import { visible } from "../core/format.js";
import { html, useState } from "../vendor/preact-htm.js";
import { DialogBody, useConfirm } from "./dialog.js";
import { isJson, JsonField } from "./json-field.js";

export function Editor({ question, actions, close }) {
  const { root } = question;
  const [text, setText] = useState(root.payload.indented);
  const act = async () => {
    const api = actions.api();
    const { runId, idempotencyKey, status } = await api.restart(root.runId, text);
    if (actions.isAsked(question)) actions.go({ client: api.client, page: "run", id: runId });
    return `Restarted under the key ${idempotencyKey}: that run is ${status} now.`;
  };
  const { state, confirm } = useConfirm({ question, actions, act });
  return html`
    <${DialogBody}
      title="Restart ${root.workflowName} with edited input"
      verb="Restart run"
      ...${state}
      disabled=${!isJson(text)}
      confirm=${confirm}
      close=${close}
    >
      <${JsonField}
        label="Input"
        rows="14"
        value=${text}
        onInput=${(event) => setText(event.currentTarget.value)}
      />
      <p>
        A new run of ${visible(root.workflowName)} calls ${root.stepInvokeUrl} with this input. It begins
        anew: what has succeeded is called again as well, under other keys. This run stays as it is.
      </p>
    <//>
  `;
}
