// The list of runs: newest first, live, filtered by what stands in the address.

import {
  LIST_REFUSED,
  blank,
  button,
  command,
  loading,
  problem,
  table,
  when,
} from "../components/pieces.js";
import {
  clearButton,
  periodFilter,
  periodOf,
  searchFilter,
  statusFilter,
  textFilter,
} from "../components/filters.js";
import { badge } from "../components/icons.js";
import { firstRunCommand } from "../core/curl.js";
import { h } from "../core/dom.js";
import { count, duration, ms, plural, ticking } from "../core/format.js";
import { linkTo } from "../core/router.js";

const FILTERS = ["status", "search", "workflow", "period", "from", "to"];
const PAGE = 50;
const EVERY_MS = 1000;
const QUIET_MS = 2500;
const ID = /^(run_[0-9a-f]{32})(-.+)?$/;

export const everyMs = (data) => (data && !liveOf(data.stats) ? QUIET_MS : EVERY_MS);
export const loadedBy = ({ query }) => JSON.stringify(query);

/** Fetch what the view shows. */
export async function load({ api, route, signal, now }) {
  const { status, workflow, search, cursor } = route.query;
  const wanted = {
    status,
    workflowName: workflow,
    keyPrefix: search,
    ...periodOf(route.query, now),
    cursor,
    limit: PAGE,
  };
  const [list, stats] = await Promise.all([api.runs(wanted, signal), api.stats(signal)]);
  const next = list.next && new URLSearchParams(list.next.split("?")[1]).get("cursor");
  return { runs: list.runs, next, stats };
}

export function view(state, actions) {
  const { route, data, error, now } = state;
  const change = (changes) => filter(route, changes, actions);
  return [
    h("div", { class: "page-head" }, h("h1", null, "Runs"), data && live(data.stats)),
    h(
      "form",
      { class: "filters", role: "search", on: { submit: (event) => event.preventDefault() } },
      searchFilter(route.query.search, change),
      textFilter("Workflow", "workflow", route.query.workflow, change, {
        list: "workflows",
        placeholder: "its whole name",
      }),
      h(
        "datalist",
        { id: "workflows" },
        workflowsOf(data).map((name) => h("option", { value: name })),
      ),
      periodFilter(route.query, change),
      clearButton(route.query, FILTERS, change),
      statusFilter(route.query.status ?? "", change),
    ),
    body(state, actions, now, data, error),
  ];
}

function body({ route, needsKey }, actions, now, data, error) {
  if (error && !data) return problem(error, actions, LIST_REFUSED);
  if (!data) return loading(10);
  if (!data.runs.length) return nothing(route, actions, needsKey);
  return [
    table(
      ["Status", "Workflow", "Key", "Started", "Duration", "Steps", "Attempts"],
      data.runs.map((run) => row(run, route, now)),
      {
        class: "list runs",
        caption: "Runs, newest first. Arrow keys move between them, Enter opens one.",
      },
    ),
    pager(route, data, actions),
  ];
}

function row(run, route, now) {
  const { steps, attempts } = run.progress;
  const total = Object.values(steps).reduce((sum, number) => sum + number, 0);
  const done = steps.succeeded ?? 0;
  const took = run.finishedAt
    ? duration(ms(run.finishedAt) - ms(run.createdAt))
    : ticking(now - ms(run.createdAt));
  return h(
    "tr",
    { key: run.runId },
    h("td", { class: "c-status" }, badge(run.status)),
    h(
      "td",
      { class: "c-workflow" },
      h(
        "a",
        { class: "row-link", href: linkTo({ client: route.client, page: "run", id: run.runId }) },
        run.workflowName,
      ),
      run.error &&
        run.status !== "succeeded" &&
        h("span", { class: "row-error", title: run.error }, run.error),
    ),
    h("td", { class: "c-key" }, h("code", { title: run.idempotencyKey }, run.idempotencyKey)),
    h("td", { class: "c-when" }, when(run.createdAt, now)),
    h("td", { class: "c-number" }, took),
    h(
      "td",
      { class: "c-steps" },
      total ? meter(done, total, steps.failed ?? 0) : h("span", { class: "soft" }, "no steps"),
    ),
    h("td", { class: `c-number c-attempts ${attempts > total + 1 ? "more" : ""}` }, count(attempts)),
  );
}

function meter(done, total, failed) {
  const share = (number) => ({ width: `${(number / total) * 100}%` });
  return h(
    "span",
    { class: "meter" },
    h("span", { class: "meter-text" }, `${count(done)}/${count(total)}`),
    h(
      "span",
      { class: "meter-bar", "aria-hidden": "true" },
      h("span", { class: "meter-done", style: share(done) }),
      h("span", { class: "meter-failed", style: share(failed) }),
    ),
  );
}

const liveOf = (stats) => Object.values(stats.live).reduce((sum, each) => sum + each, 0);

function live(stats) {
  const number = liveOf(stats);
  return h("p", { class: "soft" }, number ? `${plural(number, "step")} live now` : "Nothing is live now");
}

function pager(route, data, actions) {
  return h(
    "nav",
    { class: "pager", "aria-label": "Pages" },
    route.query.cursor && button("Newest", {}, () => actions.query({ cursor: "" })),
    h("span", { class: "soft" }, `${plural(data.runs.length, "run")} on this page`),
    data.next && button("Older", {}, () => actions.query({ cursor: data.next }, { keep: true })),
  );
}

function nothing(route, actions, needsKey) {
  if (route.query.cursor) {
    return blank(
      "empty",
      "No older runs",
      button("Back to the newest", {}, () => actions.query({ cursor: "" })),
    );
  }
  if (FILTERS.some((name) => route.query[name])) {
    return blank(
      "search",
      "No run fits these filters",
      button("Clear filters", {}, () =>
        actions.query(Object.fromEntries(FILTERS.map((name) => [name, ""]))),
      ),
    );
  }
  return blank(
    "empty",
    "No runs yet",
    h("p", null, `Start the first run of client “${route.client}”: post the URL of one of your endpoints.`),
    command(firstRunCommand(route.client, { origin: location.origin, needsKey }), actions),
    h(
      "p",
      { class: "soft" },
      "It appears here by itself. ",
      h("a", { href: "/docs" }, "The whole API is described here."),
    ),
  );
}

function filter(route, changes, actions) {
  const id = changes.search?.match(ID);
  if (id)
    return actions.go({
      client: route.client,
      page: "run",
      id: id[1],
      query: id[2] ? { step: changes.search } : {},
    });
  actions.query({ ...changes, cursor: "" });
}

function workflowsOf(data) {
  return [...new Set(data?.runs.map((run) => run.workflowName))].sort();
}
