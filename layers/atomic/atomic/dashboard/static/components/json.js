// JSON as text, with the ids of runs as links.

import { linkTo } from "../core/router.js";
import { html } from "../vendor/preact-htm.js";

const RUN_ID = /(run_[0-9a-f]{32})/;
// The page must stay fast with any payload, so only its beginning is shown; copying gives all of it.
const SHOWN_CHARS = 20_000;

/** A `Stored` value; `name` is its label for assistive technology. */
export function Json({ name, value, client }) {
  const encryption = value.encryption;
  if (encryption) return html`<${Encrypted} ...${encryption} />`;
  const text = value.shown;
  const parts = text.slice(0, SHOWN_CHARS).split(RUN_ID);
  const shown = parts.map((part, at) =>
    at % 2 ? html`<a href=${linkTo({ client, page: "run", id: part })}>${part}</a>` : part,
  );
  return html`
    <pre class="json" tabindex="0" role="region" aria-label=${name}>${shown}</pre>
    ${
      text.length > SHOWN_CHARS &&
      html`<p class="soft">
        The first ${SHOWN_CHARS} of ${text.length} characters. Copy takes all of it.
      </p>`
    }
  `;
}

/** In place of ciphertext. No key is asked for: this page comes from the server that must not have one. */
function Encrypted({ keyId, bytes }) {
  return html`<p class="soft">
    Encrypted with key <code>${keyId}</code>, ${bytes.toLocaleString("en")} bytes.
    Programs that have this key can read it.
  </p>`;
}

/** In place of a value that the document of a run leaves out. */
export function TooLong({ bytes, path }) {
  return html`<p class="soft">
    ${bytes.toLocaleString("en")} bytes, too many to show here. The API has them: <code>GET ${path}</code>
  </p>`;
}
