// Wires store, address, API and views together.

import { later } from "./components/later.js";
import { focusOpened, pressed } from "./components/shortcuts.js";
import { ApiError, createApi } from "./core/api.js";
import { createAsking } from "./core/asking.js";
import { bulkInProgress } from "./core/bulks.js";
import * as clients from "./core/clients.js";
import { serverNow, setClock } from "./core/clock.js";
import { setZone } from "./core/format.js";
import { poll } from "./core/poll.js";
import { linkTo, parseRoute } from "./core/router.js";
import { createStore } from "./core/store.js";
import { html, render } from "./vendor/preact-htm.js";
import { isLater, loadView, renewed, SignIn, shownOf, titleOf, viewOf } from "./views/pages.js";
import { Shell } from "./views/shell.js";

const Help = later(() => import("./components/help.js").then((part) => part.Help));
const THEMES = ["auto", "light", "dark"];
const TICK_MS = 500;

const app = document.getElementById("app");
// What stands there in case that no script comes.
app.replaceChildren();
const store = createStore({
  route: parseRoute(location.hash),
  data: null,
  // What the data was loaded for; a view gets `isOld` while that is not what is shown.
  loadedBy: "",
  // Of a server in development: the bar, and what it shows.
  development: null,
  // The number of failed runs that need action, once the server has answered.
  needsAction: null,
  error: null,
  // The bulk that was begun last, and what is shown of it.
  job: null,
  locked: false,
  needsKey: false,
  now: Date.now(),
  notes: [],
  // The filters and the page of the list that was shown last, for the link back.
  lastList: null,
  question: null,
  // What the key may do, once the server has answered.
  scopes: null,
  // When the data was read.
  readAt: 0,
  needsHelp: false,
  theme: localStorage.getItem("atomic.theme") ?? "auto",
  zone: localStorage.getItem("atomic.zone") ?? "",
});
setZone(store.get().zone);
let polling;
let shown = "";
// Whether the heading of a page that was just opened gets the focus when its data is there.
let isOpening = false;
// Whether the search field gets it as soon as it is there, and the run whose row gets it.
let isSearching = false;
let left = "";
const scrolls = new Map();

const refresh = () => (polling ? polling.now() : follow());

const actions = {
  ...createAsking(store, { api, refresh }),
  refresh,
  go: (route) => void (location.hash = linkTo(route)),
  /** Change the filters; `keep` keeps the former ones in the history. */
  query(changes, { keep = false } = {}) {
    // A link that was just clicked has changed the address, but not the page yet.
    const route = parseRoute(location.hash);
    if (!isSamePage(route, store.get().route)) return;
    const hash = linkTo({ ...route, query: { ...route.query, ...changes } });
    if (keep) location.hash = hash;
    else {
      history.replaceState(null, "", hash);
      follow();
    }
  },
  enter(client, key) {
    clients.enter(client, key);
    store.set({ scopes: null });
    const { route } = store.get();
    shown = "";
    if (route.client === client) follow();
    else actions.go({ client, page: "overview" });
  },
  /** Forget the client and its key. What the page has read of it goes with a new page. */
  signOut() {
    clients.forget(store.get().route.client);
    history.replaceState(null, "", "#/");
    location.reload();
  },
  /** Whether the key has this scope: only then its buttons are shown. */
  may: (scope) => Boolean(store.get().scopes?.includes(scope)),
  hasKey: () => Boolean(clients.keyOf(store.get().route.client)),
  /** Requests for the client that is shown, for parts of the page that ask by themselves. */
  api,
  /** Show the bulk `job` on all pages of the client until it is closed. */
  follow: (job) => store.set({ job: { ...job, client: store.get().route.client } }),
  closeJob: () => store.set({ job: null }),
  /** Change the data of the view that is shown. */
  show: (changes) => store.set({ data: { ...store.get().data, ...changes } }),
  /** Show a server in development. `now()` is the time by its clock. */
  develop(development, now) {
    setClock(now);
    store.set({ development, now: now() });
  },
  help: () => store.set({ needsHelp: true }),
  closeHelp: () => store.set({ needsHelp: false }),
  /** Go to the search field, which is on the list of runs. */
  search() {
    const field = document.getElementById("search");
    isSearching = !field;
    if (field) field.focus();
    else actions.go({ client: store.get().route.client, page: "runs" });
  },
  /** From a run to its row in the list that was shown before it. */
  back() {
    const { route, lastList } = store.get();
    left = route.id;
    actions.go(lastList?.client === route.client ? lastList : { client: route.client, page: "runs" });
  },
  /** Show times in this zone; an empty text is the zone of the browser. */
  setZone(zone) {
    localStorage.setItem("atomic.zone", zone);
    setZone(zone);
    store.set({ zone });
  },
  nextTheme() {
    const theme = THEMES[(THEMES.indexOf(store.get().theme) + 1) % THEMES.length];
    localStorage.setItem("atomic.theme", theme);
    store.set({ theme });
  },
};

function api() {
  const { client } = store.get().route;
  return createApi(client, clients.keyOf(client));
}

/** Client, page, and those parts of the address that a view loads its data by; empty without a view. */
function placeOf(route) {
  const view = viewOf(route.page);
  return view ? `${route.client} ${route.page} ${view.loadedBy(route)}` : "";
}

const isSamePage = (a, b) => ["client", "page", "id"].every((part) => a[part] === b[part]);

/**
 * Show the route of the address. Loaded data is kept when only the choice within it has changed. The page
 * is drawn at once, so that no timer or click reaches a view of an old address.
 */
function follow() {
  const known = clients.lastClient();
  if (!location.hash && known) history.replaceState(null, "", linkTo({ client: known, page: "runs" }));
  const before = store.get().route;
  const route = parseRoute(location.hash);
  const samePage = isSamePage(route, before);
  // What was done to the runs of one client says nothing of another's.
  if (route.client !== before.client) store.set({ notes: [] });
  if (!samePage) {
    isOpening = true;
    leave(before);
    actions.closeDialog();
  }
  const view = viewOf(route.page);
  const loaded = placeOf(route);
  if (loaded && loaded === shown) store.set({ route });
  else watch(view, route, samePage);
  if (isLater(route.page)) open(route.page);
  shown = loaded;
  store.flush();
}

/** Load the view of a page, and go on. */
async function open(page) {
  const say = (...words) => store.get().route.page === page && failed(new ApiError(0, ...words));
  try {
    await loadView(page, () => say("A part of this page is late", "It is shown as soon as it comes."));
    follow();
  } catch {
    if (await renewed()) return;
    say("A part of this page could not be loaded", "Is the server still running?");
  }
}

/** Keep the scroll position of a list, so that the way back shows the same rows. */
function leave(route) {
  if (viewOf(route.page) && route.page !== "run") {
    scrolls.set(linkTo(route), scrollY);
    store.set({ lastList: route });
  }
  scrollTo(0, 0);
}

function watch(view, route, samePage) {
  polling?.stop();
  // While filters change, the previous list stays until the next one is loaded.
  const data = samePage ? store.get().data : null;
  const isSameClient = route.client === store.get().route.client;
  const { needsAction, scopes } = isSameClient ? store.get() : { needsAction: null, scopes: null };
  store.set({ route, data, needsAction, scopes, error: null, locked: false, now: serverNow() });
  const everyMs = () => view.everyMs(store.get().data);
  polling = view && poll((signal) => load(view, signal), everyMs, failed);
}

async function load(view, signal) {
  const { route, data: before, scopes: known } = store.get();
  const [data, scopes] = await Promise.all([
    view.load({ api: api(), route, signal, now: serverNow(), before }),
    known ?? api().scopes(signal),
  ]);
  if (signal.aborted) return;
  // The page of a run does not read the number of problems, so the last number stays.
  const heard = data.stats?.needsAction ?? store.get().needsAction;
  const needsAction = heard ?? (await api().stats(signal)).needsAction;
  if (signal.aborted) return;
  if (!known) meet(route.client);
  const needsKey = actions.hasKey();
  const at = serverNow();
  const read = { data, loadedBy: placeOf(route), readAt: at };
  store.set({ ...read, needsAction, scopes, needsKey, error: null, locked: false, now: at });
  const hash = linkTo(route);
  // After the list is drawn, because before that there is nothing to scroll.
  if (!before && scrolls.has(hash)) requestAnimationFrame(() => scrollTo(0, scrolls.get(hash)));
}

/** What is done once for each client: the browser knows it then, and a bulk in progress is shown again. */
async function meet(client) {
  clients.know(client);
  // It is in the list of runs as well, so what fails is not told.
  const job = await bulkInProgress(api()).catch(() => null);
  const { route, job: shownNow } = store.get();
  if (job && route.client === client && shownNow?.client !== client) actions.follow(job);
}

function failed(error) {
  // Nothing is asked for while the key is: an entered key begins anew.
  if (error.status === 401) polling.stop();
  store.set({ error, locked: error.status === 401 });
}

function draw(state) {
  const { route, locked, theme } = state;
  const title = titleOf(state);
  if (document.title !== title) document.title = title;
  document.documentElement.dataset.theme = theme;
  const View = locked ? SignIn : shownOf(route.page);
  // Each page and each client starts without the data of another.
  const place = `${route.client} ${route.page} ${route.id}`;
  // Data of other filters, or of another page of a list: nothing may be done by what it says.
  const isOld = Boolean(state.data) && state.loadedBy !== placeOf(route);
  const page = html`
    <${Shell} state=${state} actions=${actions}>
      <${View} key=${place} state=${{ ...state, isOld }} actions=${actions} />
      ${state.needsHelp && html`<${Help} zone=${state.zone} actions=${actions} />`}
    <//>
  `;
  render(page, app);
  if (isSearching && document.getElementById("search")) actions.search();
  if (!isOpening || !(state.data || state.error || View === SignIn)) return;
  // So that a screen reader says which page was opened, and the keyboard goes on from there. A page whose
  // part is still to come has nothing yet that could have the focus.
  if (!focusOpened(app, route.client, left)) return;
  isOpening = false;
  left = "";
}

document.addEventListener("keydown", (event) => pressed(event, store.get().route, actions));
window.addEventListener("hashchange", follow);
setInterval(() => document.hidden || store.set({ now: serverNow() }), TICK_MS);
store.subscribe(draw);
follow();
// Only the page of a server in development asks for this module.
if ("development" in app.dataset) {
  // If it does not come, the page is as that of other servers.
  const begin = ({ develop }) => develop(actions);
  import("./components/development.js").then(begin, () => {});
}
