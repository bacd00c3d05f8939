// The search in a long JSON text: hits are marked, and the lines around the one that is looked at shown.

import { visible } from "../core/format.js";
import { linesOf } from "../core/json-lines.js";
import { html, useLayoutEffect, useMemo, useRef, useState } from "../vendor/preact-htm.js";
import { RUN_ID, SHOWN_CHARS, withoutComma } from "./json.js";
import { Button } from "./widgets.js";

const LINES_BEFORE = 20;
const HITS_MAX = 1_000;

/**
 * `text`, which is JSON or (`isText`) plain text, is searched, also what the page does not show of it.
 * `show({lines, hits})` shows these lines in `place`, with hits marked; `show(null)` shows the text as
 * before.
 */
export function Find({ name, text, isText, place, show, close }) {
  const [typed, setTyped] = useState("");
  const [wanted, setWanted] = useState(0);
  const field = useRef();
  const lines = useMemo(() => linesOf(text), [text]);
  const { hits, places, isMore } = useMemo(() => search(lines, typed, isText), [lines, typed, isText]);
  // The text may have changed since.
  const at = Math.min(wanted, Math.max(0, places.length - 1));
  const from = places.length ? Math.max(0, places[at] - LINES_BEFORE) : 0;
  useLayoutEffect(() => field.current.focus(), []);
  useLayoutEffect(() => show(typed ? { lines: fitting(lines, from), hits } : null), [lines, typed, from]);
  useLayoutEffect(() => {
    // After the lines are drawn that were asked for above.
    const frame = requestAnimationFrame(() => lookAt(place.current, at, places, from));
    return () => cancelAnimationFrame(frame);
  });
  const type = (event) => {
    setTyped(event.target.value);
    setWanted(0);
  };
  const move = (step) => places.length && setWanted((at + step + places.length) % places.length);
  const press = (event) => {
    if (event.key === "Escape") close();
    else if (event.key === "Enter") move(event.shiftKey ? -1 : 1);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return html`
    <div class="json-find" role="search" onKeyDown=${press}>
      <input
        ref=${field}
        type="text"
        aria-label="Find in ${name}"
        placeholder="Find"
        autocomplete="off"
        spellcheck=${false}
        value=${typed}
        onInput=${type}
      />
      <span class="soft" role="status">${typed && said(places.length, at, isMore)}</span>
      <${Button} small disabled=${!places.length} aria-label="Previous hit" onClick=${() => move(-1)}>↑<//>
      <${Button} small disabled=${!places.length} aria-label="Next hit" onClick=${() => move(1)}>↓<//>
      <${Button} small onClick=${close}>Close<//>
    </div>
  `;
}

const said = (number, at, isMore) => (number ? `${at + 1} of ${number}${isMore ? "+" : ""}` : "No hit");

/** What recognizes a hit, as a group, and the number of the line of each; in upper and lower case. */
function search(lines, typed, isText) {
  if (!typed) return { hits: null, places: [] };
  const hits = new RegExp(`(${typed.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")})`, "i");
  const places = [];
  for (const [number, line] of lines.entries()) {
    for (const part of markedParts(line, isText)) {
      const count = Math.floor(part.split(hits).length / 2);
      for (let each = 0; each < count; each++) places.push(number);
    }
    if (places.length > HITS_MAX) break;
  }
  return { hits, places: places.slice(0, HITS_MAX), isMore: places.length > HITS_MAX };
}

/** The texts in which hits are marked, one by one; a hit in any other text would have no mark. */
function markedParts({ name, value }, isText) {
  const bare = withoutComma(value.slice(0, SHOWN_CHARS), isText);
  return [visible(name), ...visible(bare).split(RUN_ID)];
}

/** The lines from one on, as many as the page shows at once. */
function fitting(lines, from) {
  let chars = 0;
  const shown = [];
  for (let at = from; at < lines.length && chars < SHOWN_CHARS; at++) {
    const value = lines[at].value.slice(0, SHOWN_CHARS);
    shown.push({ ...lines[at], value, end: 0 });
    chars += value.length + lines[at].name.length + lines[at].indent.length;
  }
  return shown;
}

/** Tell the hit that is looked at from the others, and scroll to it. */
function lookAt(element, at, places, from) {
  const marks = element?.querySelectorAll("mark") ?? [];
  const here = at - places.filter((line) => line < from).length;
  for (const [number, mark] of marks.entries()) {
    const isNews = number === here && !mark.classList.contains("here");
    mark.classList.toggle("here", number === here);
    if (isNews) mark.scrollIntoView({ block: "nearest" });
  }
}
