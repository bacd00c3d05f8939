// Small things that every view uses.

import { h } from "../core/dom.js";
import { ago, fullTime, ms } from "../core/format.js";
import { icon } from "./icons.js";

const ABSENT =
  "It may have been forgotten (30 days after its end by default), or belong to another client.";

/** A moment as people say it, exact in its title. */
export function when(text, now) {
  if (!text) return "–";
  const at = ms(text);
  return h("time", { datetime: text, title: fullTime(at) }, ago(at, now));
}

/** A table by the names of its columns and its rows; `caption` names it for those who do not see it. */
export function table(names, rows, { caption, ...props } = {}) {
  const head = names.map((name) => h("th", { scope: "col" }, name));
  return h(
    "table",
    props,
    caption && h("caption", { class: "unseen" }, caption),
    h("thead", null, h("tr", null, head)),
    h("tbody", null, rows),
  );
}

export function button(label, { primary, danger, small, ...props } = {}, on = undefined) {
  const names = ["button", primary && "primary", danger && "danger", small && "small"].filter(Boolean);
  return h("button", { type: "button", class: names.join(" "), ...props, on: on && { click: on } }, label);
}

/** Copies `text()` and says so. */
export function copyButton(label, text, actions) {
  return h(
    "button",
    { type: "button", class: "button small", on: { click: () => actions.copy(text()) } },
    icon("copy"),
    label,
  );
}

/** A name and its value in a list of facts. */
export function fact(name, ...value) {
  return [h("dt", null, name), h("dd", null, value)];
}

/** The place of what is not there: says why, and what to do next. */
export function blank(name, title, ...more) {
  return h("div", { class: "blank" }, icon(name), h("h2", null, title), more);
}

export function loading(rows = 6) {
  return h(
    "div",
    { class: "loading", role: "status" },
    h("span", { class: "unseen" }, "Loading"),
    Array.from({ length: rows }, () => h("div", { class: "bone" })),
  );
}

export const LIST_REFUSED = "This key opens another client, or it may not read: that is the scope `read`.";

/** What went wrong, in the server's words, and what to do; `absent` says what a 404 can mean here. */
export function problem(error, actions, absent = ABSENT) {
  const next = error.status === 404 ? absent : "This page tries again by itself.";
  return blank(
    "warning",
    error.message,
    h("p", null, error.detail),
    error.detail === next || error.status === 0 ? null : h("p", { class: "soft" }, next),
    button("Try again now", {}, actions.refresh),
  );
}

/** A command to be copied. */
export function command(text, actions) {
  return h(
    "div",
    { class: "command" },
    h("pre", { tabindex: "0", "aria-label": "Command" }, text),
    copyButton("Copy", () => text, actions),
  );
}
