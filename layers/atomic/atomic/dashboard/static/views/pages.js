// The pages by name, with their titles and views. A view is loaded when its page is opened first.

import { later } from "../components/later.js";
import { Loading, Problem } from "../components/widgets.js";
import { isOutdated } from "../core/api.js";
import { visible } from "../core/format.js";
import { html } from "../vendor/preact-htm.js";

export const SignIn = later(() => import("./sign-in.js").then((part) => part.View));
export const TITLES = {
  overview: "Overview",
  runs: "Runs",
  run: "Run",
  problems: "Problems",
  problem: "Problem",
  waiting: "Waiting for you",
  workflow: "Workflow",
  schedules: "Schedules",
  schedule: "Schedule",
  flow: "Flow",
  "flow-key": "Flow",
  start: "Start a run",
  "sign-in": "Sign in",
};
const LOADERS = {
  overview: () => import("./overview.js"),
  runs: () => import("./runs.js"),
  run: () => import("./run.js"),
  problems: () => import("./problems.js"),
  problem: () => import("./problem.js"),
  waiting: () => import("./waiting.js"),
  workflow: () => import("./workflow.js"),
  schedules: () => import("./schedules.js"),
  schedule: () => import("./schedule.js"),
  flow: () => import("./flow.js"),
  "flow-key": () => import("./flow-key.js"),
  start: () => import("./start.js"),
};
const LATE_MS = 8000;
// Which script was replaced by a newer one.
const RENEWED = "atomic.renewed";
const loaded = {};
let sheet = null;

/** The view of a page, once it is loaded; the sign-in page has none. */
export const viewOf = (page) => loaded[page];

/** The title of the tab: what a view says of what it shows, or its name. */
export function titleOf(state) {
  const { route, locked, data } = state;
  const shown = !locked && data && loaded[route.page]?.titleOf?.(state);
  const named = [route.page !== "run" && route.page !== "problem" && route.id, TITLES[route.page]];
  const title = shown || [...named, route.client].filter(Boolean).join(" · ");
  return `${visible(title)} — Atomic`;
}

/** Whether a page has a view that is still to be loaded. */
export const isLater = (page) => Boolean(LOADERS[page]) && !loaded[page];

/** The style sheet of the lists, which the page of a run does without. It is loaded once. */
function listSheet() {
  sheet ??= new Promise((done, failed) => {
    const first = document.querySelector("link[rel=stylesheet]");
    const link = first.cloneNode();
    link.href = first.href.replace("joined.css", "joined-lists.css");
    link.onload = done;
    link.onerror = () => {
      link.remove();
      sheet = null;
      failed(new Error("A style sheet could not be loaded."));
    };
    first.after(link);
  });
  return sheet;
}

/** Load the view of a page; `late()` is called when that takes long. */
export async function loadView(page, late) {
  const timer = setTimeout(late, LATE_MS);
  try {
    const [view] = await Promise.all([LOADERS[page](), page === "run" ? null : listSheet()]);
    loaded[page] = view;
  } finally {
    clearTimeout(timer);
  }
}

/** After an update of the server, get its page, once: true if it is on its way. */
export async function renewed() {
  const { src } = document.querySelector("script[type=module]");
  const isNews = sessionStorage.getItem(RENEWED) !== src && (await isOutdated(src).catch(() => false));
  if (!isNews) return false;
  sessionStorage.setItem(RENEWED, src);
  location.reload();
  return true;
}

/** The component to draw for a page. */
export const shownOf = (page) => (isLater(page) ? Pending : (loaded[page]?.View ?? SignIn));

/** In place of a view that is not there yet. Some browsers ask again for what failed only in a new page. */
function Pending({ state: { error } }) {
  const actions = { refresh: () => location.reload() };
  return error ? html`<${Problem} error=${error} actions=${actions} />` : html`<${Loading} />`;
}
