// The steps that failed: why, and another chance for one of them or for all that fit the filters.

import { askRedrive, askRedriveMany } from "../components/asks.js";
import { clearButton, periodFilter, periodOf, textFilter, PERIODS } from "../components/filters.js";
import { blank, button, LIST_REFUSED, loading, problem, table, when } from "../components/pieces.js";
import { nameOf } from "../components/waterfall.js";
import { h } from "../core/dom.js";
import { count, plural } from "../core/format.js";
import { linkTo } from "../core/router.js";

const FILTERS = ["workflow", "key", "period", "from", "to"];
const PAGE = 50;
const EVERY_MS = 3000;
// Why nobody waits for a dead letter any more, so that it cannot be redriven.
const OVER = {
  handled: "The handler above it went on without it and succeeded.",
  cancelled: "Its run was cancelled.",
};

export const everyMs = () => EVERY_MS;
export const loadedBy = ({ query }) => JSON.stringify(query);

/** Fetch what the view shows. */
export async function load({ api, route, signal, now }) {
  const { workflow, key, cursor } = route.query;
  const wanted = {
    workflowName: workflow,
    keyPrefix: key,
    ...periodOf(route.query, now),
    cursor,
    limit: PAGE,
  };
  const [list, stats] = await Promise.all([api.deadLetters(wanted, signal), api.stats(signal)]);
  const next = list.next && new URLSearchParams(list.next.split("?")[1]).get("cursor");
  return { letters: list.deadLetters, next, stats };
}

export function view(state, actions) {
  const { route, data } = state;
  const change = (changes) => actions.query({ ...changes, cursor: "" });
  return [
    h(
      "div",
      { class: "page-head" },
      h("h1", null, "Dead letters"),
      data && h("p", { class: "soft" }, gaveUp(data.stats.deadLetters, route.query)),
      data?.letters.length
        ? button("Redrive all that fit…", { primary: true }, () => redriveAll(state, actions))
        : null,
    ),
    h(
      "form",
      { class: "filters", role: "search", on: { submit: (event) => event.preventDefault() } },
      textFilter("Workflow", "workflow", route.query.workflow, change, { placeholder: "its whole name" }),
      textFilter("Key begins with", "key", route.query.key, change, { placeholder: "any" }),
      periodFilter(route.query, change, "Began"),
      clearButton(route.query, FILTERS, change),
    ),
    body(state, actions),
  ];
}

function gaveUp(number, query) {
  const isPart = FILTERS.some((name) => query[name]);
  return `${plural(number, "step")} failed${isPart ? ", filters aside" : ""}`;
}

function body({ route, data, error, now }, actions) {
  if (error && !data) return problem(error, actions, LIST_REFUSED);
  if (!data) return loading(6);
  if (!data.letters.length) return nothing(route, actions);
  return [
    causes(data.letters),
    table(
      ["Step", "Cause", "Key", "Gave up", "Attempts", h("span", { class: "unseen" }, "Act")],
      data.letters.map((letter) => row(letter, route, now, actions)),
      { class: "list letters", caption: "Dead letters, the step that began last first" },
    ),
    h(
      "nav",
      { class: "pager", "aria-label": "Pages" },
      route.query.cursor && button("Newest", {}, () => actions.query({ cursor: "" })),
      h("span", { class: "soft" }, `${data.letters.length} on this page`),
      data.next && button("Older", {}, () => actions.query({ cursor: data.next }, { keep: true })),
    ),
  ];
}

function row(letter, route, now, actions) {
  const href = linkTo({ client: route.client, page: "run", id: letter.runId, query: { step: letter.id } });
  const isRoot = letter.parent === null;
  return h(
    "tr",
    { key: letter.id },
    h(
      "td",
      { class: "c-workflow" },
      h("a", { class: "row-link", href }, isRoot ? letter.workflowName : nameOf(letter)),
      h("span", { class: "row-under" }, isRoot ? "the workflow itself" : letter.workflowName),
    ),
    h(
      "td",
      { class: "c-cause" },
      h("span", { class: "cause" }, causeOf(letter)),
      letter.error && h("span", { class: "row-error", title: letter.error }, letter.error),
    ),
    h("td", { class: "c-key" }, h("code", { title: letter.idempotencyKey }, letter.idempotencyKey)),
    h("td", { class: "c-when" }, when(letter.finishedAt, now)),
    h("td", { class: "c-number" }, count(letter.attempts)),
    h(
      "td",
      { class: "c-act" },
      letter.notRedrivableReason
        ? h("span", { class: "soft", title: OVER[letter.notRedrivableReason] }, letter.notRedrivableReason)
        : button(
            "Redrive",
            { small: true, "aria-label": `Redrive ${nameOf(letter)} of key ${letter.idempotencyKey}` },
            () => askRedrive(letter, actions),
          ),
    ),
  );
}

const causeOf = (letter) => (letter.responseStatus ? `Status ${letter.responseStatus}` : "No answer");

function causes(letters) {
  const numbers = new Map();
  for (const letter of letters) numbers.set(causeOf(letter), (numbers.get(causeOf(letter)) ?? 0) + 1);
  const sorted = [...numbers].sort(([, a], [, b]) => b - a);
  return h(
    "ul",
    { class: "causes", "aria-label": "Causes on this page" },
    sorted.map(([cause, number]) =>
      h("li", { key: cause }, cause, h("span", { class: "number" }, count(number))),
    ),
  );
}

function nothing(route, actions) {
  if (FILTERS.some((name) => route.query[name])) {
    return blank(
      "search",
      "No dead letter fits these filters",
      button("Clear filters", {}, () =>
        actions.query(Object.fromEntries(FILTERS.map((name) => [name, ""]))),
      ),
    );
  }
  return blank(
    "succeeded",
    "No dead letters",
    h(
      "p",
      null,
      "A step stands here once its retries are used up, or its endpoint said that it never will work.",
    ),
  );
}

function redriveAll({ route, data, now }, actions) {
  const { workflow, key, period } = route.query;
  const { createdAfter, createdBefore } = periodOf(route.query, now);
  // What fails while somebody thinks about it is not meant, and the API wants a condition.
  const filter = { failedBefore: new Date(now).toISOString() };
  if (workflow) filter.workflowName = workflow;
  if (key) filter.keyPrefix = key;
  if (createdAfter) filter.createdAfter = createdAfter;
  if (createdBefore) filter.createdBefore = createdBefore;
  const label = PERIODS.find(([name]) => name === (period ?? ""))[1];
  const words = [
    workflow && `workflow “${workflow}”`,
    key && `key beginning with “${key}”`,
    period && `begun ${period === "custom" ? "in the chosen time" : `in the ${label}`}`,
  ].filter(Boolean);
  const isWhole = !data.next && !route.query.cursor;
  const number = isWhole ? ` (${count(data.letters.filter((letter) => !letter.notRedrivableReason).length)})` : "";
  const which = words.length ? `with ${words.join(", ")}` : "of this client";
  askRedriveMany(filter, `All dead letters ${which}${number}`, actions);
}
