// The keys that work on every page.

import { linkTo } from "../core/router.js";
import { moveInList } from "./list-keyboard.js";

/** Do what a key means on this page; keys that are typed into a field are left alone. */
export function pressed(event, route, actions) {
  const isTyping = event.target.matches("input, select, textarea, dialog *");
  const isChord = event.ctrlKey || event.metaKey || event.altKey;
  if (isSearch(event, isTyping) && route.client && !document.querySelector("dialog")) {
    event.preventDefault();
    actions.search();
  } else if (isTyping || isChord) {
    return;
  } else if (event.key === "?") {
    actions.help();
  } else if (event.key === "Escape") {
    if (route.query.step) actions.query({ step: "" });
    else if (route.page === "run") actions.back();
  } else {
    moveInList(event);
  }
}

/** `/` where nobody types, and the key that other tools have for it. */
function isSearch({ key, ctrlKey, metaKey, altKey, shiftKey }, isTyping) {
  if (altKey || (ctrlKey && metaKey)) return false;
  if (ctrlKey || metaKey) return key.toLowerCase() === "k" && !shiftKey;
  return key === "/" && !isTyping;
}

/**
 * Give the focus on a page that was opened to its link to the run that was left, else to its heading; false
 * if the page has neither yet.
 */
export function focusOpened(app, client, runId) {
  if (app.querySelector("dialog, main :focus")) return true;
  const link = runId && rowOf(app, linkTo({ client, page: "run", id: runId }));
  const target = link || app.querySelector("h1");
  if (!target) return false;
  if (!link) target.tabIndex = -1;
  target.focus({ preventScroll: true });
  // After the list is where it was when it was left.
  if (link) requestAnimationFrame(() => link.scrollIntoView({ block: "nearest" }));
  return true;
}

const rowOf = (app, href) =>
  [...app.querySelectorAll("main a")].find((each) => each.getAttribute("href").startsWith(href));
