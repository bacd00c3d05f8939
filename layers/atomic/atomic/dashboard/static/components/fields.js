// Fields with a label, as all forms have them.

import { html } from "../vendor/preact-htm.js";

/** A select field; `options` are pairs of value and text. */
export function Select({ label, value, options, change }) {
  return html`
    <label class="field">
      <span>${label}</span>
      <select value=${value} onChange=${(event) => change(event.target.value)}>
        ${options.map(([each, text]) => html`<option value=${each}>${text}</option>`)}
      </select>
    </label>
  `;
}

export function Field({ label, ...props }) {
  return html`
    <label class="field">
      <span>${label}</span>
      <input autocomplete="off" spellcheck=${false} ...${props} />
    </label>
  `;
}
