// Small elements that all views use.

import { ago, fullTime, ms, ticking, visible } from "../core/format.js";
import { html, useLayoutEffect, useRef } from "../vendor/preact-htm.js";
import { Icon } from "./icons.js";

const ABSENT =
  "Its retention may be over (30 days after its end by default), or it belongs to another client.";

/** A time relative to now, with the exact time as its title. */
export function When({ text, now }) {
  if (!text) return "–";
  const at = ms(text);
  return html`<time datetime=${text} title=${fullTime(at)}>${ago(at, now)}</time>`;
}

/** For how long something goes on that began then. */
export function Since({ text, now }) {
  if (!text) return "–";
  const at = ms(text);
  return html`<time datetime=${text} title=${fullTime(at)}>${ticking(now - at)}</time>`;
}

/** A table with these column names; `caption` is its name for screen readers. */
export function Table({ names, caption, children, ...props }) {
  return html`
    <table ...${props}>
      ${caption && html`<caption class="unseen">${caption}</caption>`}
      <thead>
        <tr>${names.map((name) => html`<th scope="col">${name}</th>`)}</tr>
      </thead>
      <tbody>${children}</tbody>
    </table>
  `;
}

/** `element` is a reference that gets the button, such as one that gives it the focus. */
export function Button({ element, primary, danger, small, children, ...props }) {
  const names = ["button", primary && "primary", danger && "danger", small && "small"].filter(Boolean);
  return html`
    <button ref=${element} type="button" class=${names.join(" ")} ...${props}>${children}</button>
  `;
}

/** Copies `text()` and says so. */
export function CopyButton({ text, actions, children }) {
  return html`
    <${Button} small onClick=${() => actions.copy(text())}><${Icon} name="copy" />${children}<//>
  `;
}

/** A name and its value in a list of facts. */
export function Fact({ name, children }) {
  return html`<dt>${name}</dt><dd>${children}</dd>`;
}

/** Shown where there is nothing to show: says why, and what to do next. */
export function Blank({ icon, title, children }) {
  return html`<div class="blank"><${Icon} name=${icon} /><h2>${title}</h2>${children}</div>`;
}

export function Loading({ rows = 6 }) {
  return html`
    <div class="loading" role="status">
      <span class="unseen">Loading</span>
      ${Array.from({ length: rows }, () => html`<div class="bone" />`)}
    </div>
  `;
}

/** What a list or its parts have while they show the data of other filters than those of the page. */
export const busyIf = (isOld, names) =>
  isOld ? { class: `${names} old`, "aria-busy": "true" } : { class: names };

export const LIST_REFUSED = "This key belongs to another client, or it lacks the scope `read`.";

/** An error, with the server's text and what to do; `absent` says what a 404 can mean here. */
export function Problem({ error, actions, absent = ABSENT }) {
  const next = error.status === 404 ? absent : "This page tries again by itself.";
  return html`
    <${Blank} icon="warning" title=${visible(error.message)}>
      <p>${visible(String(error.detail ?? ""))}</p>
      ${error.detail !== next && error.status !== 0 && html`<p class="soft">${next}</p>`}
      ${error.help && html`<p><a class="alone" href=${error.help}>What to do</a></p>`}
      <${Button} onClick=${actions.refresh}>Try again now<//>
    <//>
  `;
}

/** A command with a button to copy it. */
export function Command({ text, actions }) {
  return html`
    <div class="command">
      <pre tabindex="0" aria-label="Command">${text}</pre>
      <${CopyButton} text=${() => text} actions=${actions}>Copy<//>
    </div>
  `;
}

/** Scroll to the top when another page of a list is shown; `cursor` is null while none is. */
export function useTop(cursor) {
  const shown = useRef(cursor);
  useLayoutEffect(() => {
    if (shown.current !== null && cursor !== null && shown.current !== cursor) scrollTo(0, 0);
    shown.current = cursor;
  }, [cursor]);
}

/**
 * The buttons below a list that lead to its other pages, around words about the one that is shown. `names`:
 * what the buttons to the first and to the next page say. `newer` is the page before, if it is known. While
 * the list `isOld`, its buttons would lead on from another list, and so do nothing.
 */
export function PageTurner({ route, next, newer, actions, isOld, names = ["Newest", "Older"], children }) {
  const newest = () => actions.query({ cursor: "" });
  const turn = (cursor) => () => isOld || actions.query({ cursor }, { keep: true });
  const looks = { "aria-disabled": isOld ? "true" : undefined };
  return html`
    <nav class="pager" aria-label="Pages">
      ${route.query.cursor && html`<${Button} onClick=${newest}>${names[0]}<//>`}
      <span class="soft">${isOld ? "Loading…" : children}</span>
      ${newer && html`<${Button} ...${looks} onClick=${turn(newer.cursor)}>Newer<//>`}
      ${next && html`<${Button} ...${looks} onClick=${turn(next)}>${names[1]}<//>`}
    </nav>
  `;
}
