// How everything is going, computed here from the newest runs; how many those are stands on the page.

import { chart } from "../components/chart.js";
import { PERIODS, periodOf, select } from "../components/filters.js";
import { blank, command, LIST_REFUSED, loading, problem, table } from "../components/pieces.js";
import { firstRunCommand } from "../core/curl.js";
import { h } from "../core/dom.js";
import { count, duration, ms, percent, plural, ticking } from "../core/format.js";
import { linkTo } from "../core/router.js";
import { LIVE } from "../core/enums.js";
import { bucketsOf, oldestRetry, summaryOf, workflowsOf } from "../core/sample.js";
import { isLive } from "../core/timeline.js";

const SAMPLE = 500;
const PAGE = 100;
const EVERY_MS = 5000;
// Older runs of the sample are read again now and then; in between only the newest page is.
const WHOLE_EVERY = 12;

export const everyMs = () => EVERY_MS;
export const loadedBy = ({ query }) => JSON.stringify(query);

/** Fetch what the view shows; `before` is what it showed last. */
export async function load({ api, route, signal, now, before }) {
  const since = periodOf(route.query, now);
  const whole = !before || before.round % WHOLE_EVERY === 0;
  const [fresh, stats, ...live] = await Promise.all([
    newest(api, since, whole ? SAMPLE : PAGE, signal),
    api.stats(signal),
    ...LIVE.map((status) => api.runs({ status, limit: PAGE }, signal)),
  ]);
  const liveRuns = live.flatMap((list) => list.runs);
  const runs = whole ? fresh : merged(fresh, before.runs, liveRuns, since.createdAfter);
  return { runs, stats, oldest: oldestRetry(liveRuns), round: (before?.round ?? 0) + 1 };
}

async function newest(api, since, wanted, signal) {
  const runs = [];
  let cursor;
  do {
    const list = await api.runs({ ...since, cursor, limit: PAGE }, signal);
    runs.push(...list.runs);
    cursor = list.next && new URLSearchParams(list.next.split("?")[1]).get("cursor");
  } while (cursor && runs.length < wanted);
  return runs;
}

function merged(fresh, known, liveRuns, since) {
  const byId = new Map(known.map((run) => [run.runId, run]));
  for (const run of liveRuns) if (byId.has(run.runId)) byId.set(run.runId, run);
  for (const run of fresh) byId.set(run.runId, run);
  const from = since ? ms(since) : 0;
  const runs = [...byId.values()].filter((run) => ms(run.createdAt) >= from);
  return runs.sort((a, b) => ms(b.createdAt) - ms(a.createdAt)).slice(0, SAMPLE);
}

export function view(state, actions) {
  const { route, data, error } = state;
  const periods = PERIODS.filter(([name]) => name !== "custom").map(([value, label]) => [
    value,
    value ? label : "all",
  ]);
  return [
    h(
      "div",
      { class: "page-head" },
      h("h1", null, "Overview"),
      data && h("p", { class: "soft" }, said(data.runs.length, route.query.period)),
      h(
        "div",
        { class: "page-acts" },
        select("Time", route.query.period ?? "", periods, (period) => actions.query({ period })),
      ),
    ),
    error && !data ? problem(error, actions, LIST_REFUSED) : data ? body(state, actions) : loading(6),
  ];
}

function said(number, period) {
  if (number >= SAMPLE) return `Of the newest ${count(SAMPLE)} runs${period ? " of this time" : ""}`;
  return number === 1
    ? "Of the one run there is"
    : `Of all ${count(number)} runs${period ? " of this time" : ""}`;
}

function body({ route, data, now, needsKey }, actions) {
  const { runs } = data;
  if (!runs.length) {
    const first = [
      h("p", null, "Charts begin with the first run:"),
      command(firstRunCommand(route.client, { origin: location.origin, needsKey }), actions),
    ];
    return [
      tiles(data, route, now),
      blank(
        "empty",
        route.query.period ? "No runs in this time" : "No runs yet",
        route.query.period ? null : first,
      ),
    ];
  }
  const workflows = workflowsOf(runs);
  return [
    tiles(data, route, now),
    charts(runs, now),
    h("div", { class: "rankings" }, slowest(workflows, route), failing(workflows, route)),
  ];
}

function tiles({ runs, stats, oldest }, { client, query: { period } }, now) {
  const all = summaryOf(runs);
  const live = Object.values(stats.live).reduce((sum, number) => sum + number, 0);
  const words = Object.entries(stats.live)
    .map(([status, number]) => `${count(number)} ${status}`)
    .join(", ");
  const overdue = stats.oldestDueAt ? now - ms(stats.oldestDueAt) : 0;
  return h(
    "ul",
    { class: "tiles" },
    tile("Live now", count(live), words || "nothing is going on", { client, page: "runs" }),
    tile(
      "Failure rate",
      all.rate === null ? "–" : percent(all.rate),
      `${count(all.failed)} of ${plural(all.succeeded + all.failed, "ended run")}`,
      { client, page: "runs", query: { status: "failed", period } },
    ),
    tile(
      "Dead letters",
      count(stats.deadLetters),
      stats.deadLetters ? "steps failed" : "nothing failed",
      { client, page: "dead-letters" },
    ),
    tile(
      "Oldest retry",
      oldest ? ticking(now - ms(oldest.createdAt)) : "none",
      overdue > 5000 ? `something is overdue by ${ticking(overdue)}` : "since its run began",
      oldest ? { client, page: "run", id: oldest.runId } : { client, page: "runs" },
    ),
  );
}

function tile(name, value, under, to) {
  return h(
    "li",
    { key: name },
    h(
      "a",
      { class: "tile", href: linkTo(to) },
      h("span", { class: "tile-name" }, name),
      h("span", { class: "tile-value" }, value),
      h("span", { class: "soft" }, under),
    ),
  );
}

function charts(runs, now) {
  const buckets = bucketsOf(runs, now);
  const all = summaryOf(runs);
  const live = runs.filter(isLive).length;
  return h(
    "div",
    { class: "charts" },
    chart({
      title: "Runs started",
      headline: `${count(runs.length)}${live ? `, ${count(live)} live` : ""}`,
      buckets,
      show: count,
      series: [
        { name: "succeeded", kind: "bar", tone: "good", value: (bucket) => bucket.succeeded },
        { name: "failed", kind: "bar", tone: "bad", value: (bucket) => bucket.failed },
        { name: "live or cancelled", kind: "bar", tone: "calm", value: (bucket) => bucket.others },
      ],
    }),
    chart({
      title: "Failure rate",
      headline: all.rate === null ? "–" : percent(all.rate),
      buckets,
      show: percent,
      series: [{ name: "failed", kind: "line", tone: "bad", value: (bucket) => bucket.rate }],
    }),
    chart({
      title: "Duration",
      headline: all.p50 === null ? "–" : `median ${duration(all.p50)}`,
      buckets,
      show: duration,
      series: [
        ["p50", "calm"],
        ["p95", "middle"],
        ["p99", "strong"],
      ].map(([name, tone]) => ({ name, kind: "line", tone, value: (bucket) => bucket[name] })),
    }),
    chart({
      title: "Retries",
      headline: count(all.retries),
      buckets,
      show: count,
      series: [{ name: "retries", kind: "bar", tone: "warn", value: (bucket) => bucket.retries }],
    }),
  );
}

function slowest(workflows, route) {
  const rows = workflows
    .filter((each) => each.p95 !== null)
    .sort((a, b) => b.p95 - a.p95)
    .slice(0, 5);
  return ranking(
    "Slowest workflows",
    ["Workflow", "Median", "p95", "Runs"],
    rows,
    (each) => [duration(each.p50), duration(each.p95), count(each.runs)],
    route,
    {},
  );
}

function failing(workflows, route) {
  const rows = workflows
    .filter((each) => each.failed)
    .sort((a, b) => b.rate - a.rate || b.failed - a.failed)
    .slice(0, 5);
  return ranking(
    "Most failing workflows",
    ["Workflow", "Rate", "Failed", "Runs"],
    rows,
    (each) => [percent(each.rate), count(each.failed), count(each.runs)],
    route,
    { status: "failed" },
  );
}

function ranking(title, names, rows, cells, { client }, query) {
  return h(
    "section",
    { class: "ranking" },
    h("h2", null, title),
    rows.length
      ? table(
          names,
          rows.map((each) =>
            h(
              "tr",
              { key: each.name },
              h(
                "td",
                null,
                h(
                  "a",
                  { href: linkTo({ client, page: "runs", query: { workflow: each.name, ...query } }) },
                  each.name,
                ),
              ),
              cells(each).map((cell) => h("td", { class: "c-number" }, cell)),
            ),
          ),
        )
      : h("p", { class: "soft" }, "None."),
  );
}
