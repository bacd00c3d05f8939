// JSON as text: objects and lists fold, ids of runs are links, and characters that would mislead are
// written out.

import { linesOf, unfolded } from "../core/json-lines.js";
import { linkTo } from "../core/router.js";
import { toggled, visible } from "../core/rows.js";
import { html, useMemo, useState } from "../vendor/preact-htm.js";

const RUN_ID = /(run_[0-9a-f]{32})/;
// The page must stay fast with any payload, so only its beginning is shown; copying gives all of it.
const SHOWN_CHARS = 20_000;
const LONG_LINE = 60;

/** A `Stored` value; `name` is its label for assistive technology. */
export function Json({ name, value, client }) {
  const [folded, setFolded] = useState(new Set());
  const [wraps, setWraps] = useState(true);
  const encryption = value.encryption;
  const text = encryption ? "" : value.shown;
  const isText = value.text.startsWith('"');
  const lines = useMemo(() => (isText ? null : linesOf(text.slice(0, SHOWN_CHARS))), [text, isText]);
  if (encryption) return html`<${Encrypted} ...${encryption} />`;
  const fold = (at) => setFolded(toggled(folded, at));
  const isLong = text.split("\n", 200).some((line) => line.length > LONG_LINE);
  return html`
    <pre class="json ${wraps ? "" : "unwrapped"}" tabindex="0" role="region" aria-label=${name}>
      ${lines
        ? unfolded(lines, folded).map((at) => {
            const props = { line: lines[at], isFolded: folded.has(at), client };
            return html`<${Line} key=${at} ...${props} fold=${() => fold(at)} />`;
          })
        : html`<${Linked} text=${readable(text.slice(0, SHOWN_CHARS))} client=${client} />`}
    </pre>
    ${
      text.length > SHOWN_CHARS &&
      html`<p class="soft">The first ${SHOWN_CHARS} of ${text.length} characters. Copy takes all of it.</p>`
    }
    ${
      isLong &&
      html`<label class="switch">
        <input type="checkbox" checked=${wraps} onChange=${() => setWraps(!wraps)} />Wrap lines
      </label>`
    }
  `;
}

/** The text of several lines; a character that is not seen is written out. */
const readable = (text) => text.split("\n").map(visible).join("\n");

function Line({ line: { indent, name, value, end }, isFolded, fold, client }) {
  const close = isFolded ? `…${value.endsWith("{") ? "}" : "]"}` : "";
  // Space between the parts would be shown.
  return html`<span class="json-line">
    ${end > 0 && html`<${Fold} name=${name} isFolded=${isFolded} fold=${fold} />`}
    ${indent}
    ${name && html`<span class="json-name">${visible(name)}</span>`}
    ${name && ": "}
    <${Linked} text=${visible(value)} client=${client} />
    ${`${close}\n`}
  </span>`;
}

function Fold({ name, isFolded, fold }) {
  const told = { "aria-expanded": !isFolded, "aria-label": `Fold ${name || "value"}` };
  return html`<button type="button" class="json-fold" ...${told} onClick=${fold} />`;
}

function Linked({ text, client }) {
  return text
    .split(RUN_ID)
    .map((part, at) =>
      at % 2 ? html`<a href=${linkTo({ client, page: "run", id: part })}>${part}</a>` : part,
    );
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
