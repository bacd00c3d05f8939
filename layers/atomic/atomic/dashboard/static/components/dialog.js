// The dialog before an action, and the notes about its result.

import { html, useLayoutEffect, useRef } from "../vendor/preact-htm.js";
import { Icon } from "./icons.js";
import { Button } from "./widgets.js";

/** An open question: `{title, text, verb, danger, busy, error, confirm}`. */
export function Dialog({ question, actions }) {
  const element = useRef();
  useLayoutEffect(() => element.current.showModal(), []);
  const { title, text, verb, danger, busy, error, confirm } = question;
  return html`
    <dialog
      ref=${element}
      aria-labelledby="dialog-title"
      onClose=${actions.closeDialog}
      onClick=${(event) => event.target === event.currentTarget && actions.closeDialog()}
    >
      <div class="dialog-body">
        <h2 id="dialog-title">${title}</h2>
        ${text.map((line) => html`<p>${line}</p>`)}
        ${error && html`<p class="error-text" role="alert">${error}</p>`}
        <div class="dialog-actions">
          <${Button} disabled=${busy} onClick=${actions.closeDialog}>Leave it<//>
          <${Button} primary danger=${danger} disabled=${busy} onClick=${confirm}>
            ${busy ? "Working…" : verb}
          <//>
        </div>
      </div>
    </dialog>
  `;
}

/** Notes about actions that were just done. */
export function Notes({ list, actions }) {
  return html`
    <div class="notes" role="status" aria-live="polite">
      ${list.map(({ id, text, bad }) => {
        return html`
          <div key=${id} class="note ${bad ? "bad" : ""}">
            <${Icon} name=${bad ? "warning" : "check"} />
            <span>${text}</span>
            <button type="button" class="plain" aria-label="Dismiss" onClick=${() => actions.dismiss(id)}>
              <${Icon} name="close" />
            </button>
          </div>
        `;
      })}
    </div>
  `;
}
