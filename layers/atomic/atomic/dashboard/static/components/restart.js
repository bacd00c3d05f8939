// Start a run that has ended again, with a payload that is edited first.

import { html, useLayoutEffect, useRef, useState } from "../vendor/preact-htm.js";
import { wrongIn } from "./results.js";
import { Button } from "./widgets.js";

/** The button, where a run may be started again and its payload can be shown. */
export function RestartEdited({ root, actions }) {
  const [isOpen, setOpen] = useState(false);
  if (!(actions.may("act") && actions.may("start"))) return null;
  const isFitting = root.finishedAt && root.kind === "http" && root.stepInvokeUrl;
  if (!isFitting || root.payloadBytes || root.payload.encryption) return null;
  return html`
    <${Button} small onClick=${() => setOpen(true)}>Restart with edited input…<//>
    ${isOpen && html`<${Editor} ...${{ root, actions }} close=${() => setOpen(false)} />`}
  `;
}

function Editor({ root, actions, close }) {
  const element = useRef();
  const [text, setText] = useState(root.payload.indented);
  useLayoutEffect(() => element.current.showModal(), []);
  const wrong = wrongIn(text);
  const go = () => {
    close();
    ask(root, text, actions);
  };
  return html`
    <dialog class="editor" ref=${element} aria-labelledby="editor-title" onClose=${close}>
      <div class="dialog-body">
        <h2 id="editor-title">Restart ${root.workflowName} with edited input</h2>
        <label class="field">
          Input, as JSON
          <textarea
            class="json-input"
            rows="14"
            spellcheck=${false}
            aria-invalid=${Boolean(wrong)}
            value=${text}
            onInput=${(event) => setText(event.currentTarget.value)}
          />
        </label>
        ${wrong && html`<p class="error-text" role="alert">${wrong}</p>`}
        <div class="dialog-actions">
          <${Button} onClick=${close}>Cancel<//>
          <${Button} primary disabled=${Boolean(wrong)} onClick=${go}>Restart…<//>
        </div>
      </div>
    </dialog>
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
