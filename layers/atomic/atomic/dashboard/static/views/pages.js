// The pages by name, with their titles and views. A view is loaded when its page is opened first.

import { Loading, Problem } from "../components/widgets.js";
import { html } from "../vendor/preact-htm.js";
import * as signIn from "./sign-in.js";

export const TITLES = {
  overview: "Overview",
  runs: "Runs",
  run: "Run",
  problems: "Problems",
  problem: "Problem",
  waiting: "Waiting for you",
  workflow: "Workflow",
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
  flow: () => import("./flow.js"),
  "flow-key": () => import("./flow-key.js"),
  start: () => import("./start.js"),
};
const loaded = {};

/** The view of a page, once it is loaded; the sign-in page has none. */
export const viewOf = (page) => loaded[page];

/** Whether a page has a view that is still to be loaded. */
export const isLater = (page) => Boolean(LOADERS[page]) && !loaded[page];

export async function loadView(page) {
  loaded[page] = await LOADERS[page]();
}

/** The component to draw for a page. */
export const shownOf = (page) => (isLater(page) ? Pending : (loaded[page]?.View ?? signIn.View));

function Pending({ state: { error }, actions }) {
  return error ? html`<${Problem} error=${error} actions=${actions} />` : html`<${Loading} />`;
}
