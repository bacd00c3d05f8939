// A field for JSON, which is sent as it is typed: a parsed number could lose digits.

import { visible } from "../core/format.js";
import { html, useState } from "../vendor/preact-htm.js";

/** Whether a text is JSON. */
export const isJson = (text) => !wrongIn(text);

/** The field, and below it what is wrong in it; `said` is in place of the browser's words for that. */
export function JsonField({ label, said, ...props }) {
  const wrong = wrongIn(props.value);
  // A dialog asks before it loses a text that is no longer this one.
  const [first] = useState(props.value);
  return html`
    <label class="field">
      <span>${label}, as JSON</span>
      <textarea
        class="json-input"
        spellcheck=${false}
        aria-invalid=${Boolean(wrong)}
        defaultValue=${first}
        ...${props}
      />
    </label>
    ${wrong && html`<p class="error-text" role="alert">${said ?? wrong}</p>`}
  `;
}

/** What is wrong in a text that should be JSON; empty when nothing is. */
function wrongIn(text) {
  try {
    JSON.parse(text);
    return "";
  } catch (error) {
    return `This is not JSON: ${visible(error.message)}`;
  }
}
