// One run: its steps on a time axis, and beside them everything about the chosen one.

import { askCancel, askRedrive } from "../components/asks.js";
import { badge } from "../components/icons.js";
import { button, copyButton, fact, loading, problem, when } from "../components/pieces.js";
import { panel } from "../components/panel.js";
import { nameOf, tookOf, waterfall } from "../components/waterfall.js";
import { startCommand } from "../core/curl.js";
import { h } from "../core/dom.js";
import { count, dollars, ms } from "../core/format.js";
import { linkTo } from "../core/router.js";
import { isLive } from "../core/timeline.js";

const LISTS = { overview: "Overview", runs: "Runs", "dead-letters": "Dead letters" };
const LIVE_MS = 700;
const ENDED_MS = 10_000;

export const everyMs = (data) => (data && [data.root, ...data.steps].some(isLive) ? LIVE_MS : ENDED_MS);
export const loadedBy = ({ id }) => id;

/** Fetch what the view shows. */
export const load = ({ api, route, signal }) => api.run(route.id, signal);

export function view(state, actions) {
  const { route, data, error, now } = state;
  const back = backTo(state);
  if (!data)
    return [back, h("h1", { class: "unseen" }, "Run"), error ? problem(error, actions) : loading(8)];
  const chosen = [data.root, ...data.steps].find((step) => step.id === route.query.step) ?? null;
  // The first choice is a place of its own: going back from it leads to the run, not out of it.
  const choose = (id) =>
    actions.query({ step: id === route.query.step ? "" : id }, { keep: !route.query.step });
  return [
    back,
    head(state, actions),
    h(
      "div",
      { class: `run-body ${chosen ? "with-panel" : ""}` },
      waterfall({ run: data, chosen: chosen?.id, now, choose }),
      chosen && panel({ step: chosen, run: data, state, actions }),
    ),
  ];
}

/** The step that failed first, in a run that failed. */
function culprit(root, steps, { client, id }) {
  const failed = root.status === "failed" ? steps.filter((step) => step.status === "failed") : [];
  if (!failed.length) return null;
  const first = failed.reduce((a, b) => (ms(b.finishedAt) < ms(a.finishedAt) ? b : a));
  return h(
    "p",
    { class: "culprit" },
    h("a", { href: linkTo({ client, page: "run", id, query: { step: first.id } }) }, nameOf(first)),
    ` failed first: ${first.error}`,
  );
}

function backTo({ route: { client }, lastList }) {
  const list = lastList?.client === client ? lastList : { client, page: "runs" };
  return h("a", { class: "back", href: linkTo(list) }, `← ${LISTS[list.page]}`);
}

function head({ route, data, now, needsKey }, actions) {
  const { root, steps, costUsd } = data;
  const all = [root, ...steps];
  const done = steps.filter((step) => step.status === "succeeded").length;
  return h(
    "header",
    { class: "run-head" },
    h("div", { class: "run-title" }, h("h1", null, root.workflowName), badge(root.status)),
    h(
      "div",
      { class: "run-actions" },
      copyButton(
        "Copy as curl",
        () => startCommand(root, route.client, { origin: location.origin, needsKey }),
        actions,
      ),
      copyButton("Copy link", () => location.href, actions),
      root.status === "failed" &&
        button("Redrive", { primary: true, small: true }, () => askRedrive(root, actions)),
      all.some(isLive) &&
        button("Cancel run", { danger: true, small: true }, () => askCancel(root, actions)),
    ),
    h(
      "dl",
      { class: "facts" },
      fact("Key", h("code", null, root.idempotencyKey)),
      fact("Run", h("code", null, root.runId)),
      fact("Started", when(root.createdAt, now)),
      fact("Duration", tookOf(root, now)),
      fact("Steps", steps.length ? `${count(done)} of ${count(steps.length)} done` : "none"),
      fact("Attempts", count(all.reduce((sum, step) => sum + step.attempts, 0))),
      fact(
        "Cost",
        costUsd === null
          ? h(
              "span",
              { title: "This server is your own; on AWS an estimate by list price stands here." },
              "own server",
            )
          : h("span", { title: "Estimated by AWS list prices" }, dollars(costUsd)),
      ),
    ),
    root.error && root.status === "failed" && h("p", { class: "error-text" }, root.error),
    culprit(root, steps, route),
  );
}
