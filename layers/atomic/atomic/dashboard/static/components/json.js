// JSON as text: objects and lists fold, values are coloured by their kinds, ids of runs are links, and
// characters that would mislead are written out. A long one can be searched.

import { visible } from "../core/format.js";
import { linesOf, unfolded } from "../core/json-lines.js";
import { linkTo } from "../core/router.js";
import { toggled } from "../core/toggled.js";
import { html, useMemo, useRef, useState } from "../vendor/preact-htm.js";
import { later } from "./later.js";
import { Button } from "./widgets.js";

export const RUN_ID = /(run_[0-9a-f]{32})/;
// The page must stay fast with any payload, so only its beginning is shown; copying gives all of it.
export const SHOWN_CHARS = 20_000;
const FIND_FROM_CHARS = 1_000;
const LONG_LINE = 60;
const KINDS = { '"': "string", "{": "", "}": "", "[": "", "]": "", t: "word", f: "word", n: "word" };
const Find = later(() => import("./json-find.js").then((part) => part.Find));

/** A `Stored` value; `name` is its label for assistive technology. */
export function Json({ name, value, client }) {
  const [folded, setFolded] = useState(new Set());
  const [wraps, setWraps] = useState(true);
  // What is searched for: the lines around a hit, and how hits are recognized.
  const [found, setFound] = useState(null);
  const [isFinding, setFinding] = useState(false);
  const place = useRef();
  const button = useRef();
  const encryption = value.encryption;
  const text = encryption ? "" : value.shown;
  const isText = value.text.startsWith('"');
  const whole = useMemo(() => (isText ? null : linesOf(text.slice(0, SHOWN_CHARS))), [text, isText]);
  if (encryption) return html`<${Encrypted} ...${encryption} />`;
  const fold = (at) => setFolded(toggled(folded, at));
  const lines = found?.lines ?? whole;
  // The lines of a search are not folded.
  const shut = found ? new Set() : folded;
  const close = () => {
    setFinding(false);
    setFound(null);
    requestAnimationFrame(() => button.current?.focus());
  };
  const isLong = text.split("\n", 200).some((line) => line.length > LONG_LINE);
  return html`
    ${isFinding && html`<${Find} ...${{ name, text, isText, place, show: setFound, close }} />`}
    <pre
      ref=${place}
      class="json ${wraps ? "" : "unwrapped"}"
      tabindex="0"
      role="region"
      aria-label=${name}
    >
      ${lines
        ? unfolded(lines, shut).map((at) => {
            const props = { line: lines[at], isFolded: shut.has(at), found, isText, client };
            return html`<${Line} key=${at} ...${props} fold=${() => fold(at)} />`;
          })
        : html`<${Linked} text=${readable(text.slice(0, SHOWN_CHARS))} client=${client} />`}
    </pre>
    ${
      text.length > SHOWN_CHARS &&
      !found &&
      html`<p class="soft">The first ${SHOWN_CHARS} of ${text.length} characters. Copy takes all of it.</p>`
    }
    ${
      text.length > FIND_FROM_CHARS &&
      !isFinding &&
      html`<span>
        <${Button} small element=${button} aria-label="Find in ${name}" onClick=${() => setFinding(true)}>
          Find…
        <//>
      </span>`
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

/** The value of a line as it is marked, which its comma is no part of. */
export const withoutComma = (value, isText) =>
  !isText && value.endsWith(",") ? value.slice(0, -1) : value;

function Line({ line: { indent, name, value, end }, isFolded, fold, found, isText, client }) {
  const kind = isText ? "" : (KINDS[value[0]] ?? "number");
  const bare = withoutComma(value, isText);
  const close = isFolded ? `…${value.endsWith("{") ? "}" : "]"}` : "";
  // Space between the parts would be shown.
  return html`<span class="json-line">
    ${end > 0 && html`<${Fold} name=${name} isFolded=${isFolded} fold=${fold} />`}
    ${indent}
    ${name && html`<span class="json-name">${marked(visible(name), found)}</span>`}
    ${name && ": "}
    <span class=${kind ? `json-${kind}` : undefined}>
      <${Linked} ...${{ text: visible(bare), found, client }} />
    </span>
    ${`${value.slice(bare.length)}${close}\n`}
  </span>`;
}

function Fold({ name, isFolded, fold }) {
  const told = { "aria-expanded": !isFolded, "aria-label": `Fold ${name || "value"}` };
  return html`<button type="button" class="json-fold" ...${told} onClick=${fold} />`;
}

/** The text with what is searched for marked. */
const marked = (text, found) =>
  found ? text.split(found.hits).map((part, at) => (at % 2 ? html`<mark>${part}</mark>` : part)) : text;

function Linked({ text, found, client }) {
  return text
    .split(RUN_ID)
    .map((part, at) =>
      at % 2
        ? html`<a href=${linkTo({ client, page: "run", id: part })}>${marked(part, found)}</a>`
        : marked(part, found),
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
