// Filters over lists. They live in the address; what is typed goes there after a moment of rest.

import { h } from "../core/dom.js";
import { icon } from "./icons.js";
import { button } from "./pieces.js";

const REST_MS = 250;
export const PERIODS = [
  ["", "any time"],
  ["15m", "last 15 minutes", 15 * 60e3],
  ["1h", "last hour", 3600e3],
  ["24h", "last 24 hours", 24 * 3600e3],
  ["7d", "last 7 days", 7 * 24 * 3600e3],
  ["custom", "from … to …"],
];

/** The API's time filters for a query of the address; a moving period begins anew with each call. */
export function periodOf({ period, from, to }, now) {
  const since = PERIODS.find(([name]) => name === period)?.[2];
  if (since) return { createdAfter: new Date(now - since).toISOString() };
  if (period !== "custom") return {};
  return { createdAfter: isoOf(from), createdBefore: isoOf(to) };
}

/** The period's controls. */
export function periodFilter(query, change, label = "Started") {
  const set = (name) => (event) => change({ [name]: event.target.value });
  return [
    select(
      label,
      query.period ?? "",
      PERIODS.map(([value, label]) => [value, label]),
      (value) => change({ period: value, from: "", to: "" }),
    ),
    query.period === "custom" && [
      field(
        "From",
        { type: "datetime-local", step: "1", value: query.from ?? "" },
        { change: set("from") },
      ),
      field("To", { type: "datetime-local", step: "1", value: query.to ?? "" }, { change: set("to") }),
    ],
  ];
}

export function select(label, value, options, change) {
  return h(
    "label",
    { class: "field" },
    h("span", null, label),
    h(
      "select",
      { on: { change: (event) => change(event.target.value) }, value },
      options.map(([each, text]) => h("option", { value: each, selected: each === value }, text)),
    ),
  );
}

export function field(label, props, on) {
  return h(
    "label",
    { class: "field" },
    h("span", null, label),
    h("input", { autocomplete: "off", spellcheck: "false", ...props, on }),
  );
}

/** A field whose text is handed on once typing rests. */
export function textFilter(label, name, value, change, props = {}) {
  return field(
    label,
    { type: "text", value: value ?? "", ...props },
    { input: (event) => later(name, event.target.value.trim(), change) },
  );
}

/** The search field: a key's beginning, or an id, which is gone to at once. */
export function searchFilter(value, change) {
  return h(
    "label",
    { class: "field search" },
    h("span", { class: "unseen" }, "Search by key or id"),
    icon("search"),
    h("input", {
      type: "search",
      id: "search",
      value: value ?? "",
      placeholder: "Key or id",
      autocomplete: "off",
      spellcheck: "false",
      "aria-keyshortcuts": "/",
      on: { input: (event) => later("search", event.target.value.trim(), change) },
    }),
  );
}

/** The states as buttons of which one is pressed. */
export function statusFilter(chosen, change) {
  const states = ["", "running", "retrying", "waiting", "pending", "succeeded", "failed", "cancelled"];
  return h(
    "div",
    { class: "states", role: "group", "aria-label": "Status" },
    states.map((state) =>
      h(
        "button",
        {
          type: "button",
          class: "state",
          "aria-pressed": String(chosen === state),
          on: { click: () => change({ status: state }) },
        },
        state ? [icon(state), state] : "all",
      ),
    ),
  );
}

export function clearButton(query, names, change) {
  const given = names.filter((name) => query[name]);
  return given.length
    ? button("Clear filters", { small: true }, () =>
        change(Object.fromEntries(names.map((name) => [name, ""]))),
      )
    : null;
}

const timers = new Map();
function later(name, value, change) {
  clearTimeout(timers.get(name));
  timers.set(
    name,
    setTimeout(() => change({ [name]: value }), REST_MS),
  );
}

function isoOf(local) {
  const at = local ? new Date(local) : null;
  return at && !Number.isNaN(at.getTime()) ? at.toISOString() : undefined;
}
