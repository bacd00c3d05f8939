// The list of runs: newest first, updated live, with the filters of the address.

import { Filters, isFiltered, PeriodFilter, periodOf, StatusFilter } from "../components/filters.js";
import { Pager, RunTable } from "../components/run-table.js";
import { Chips, SearchBox } from "../components/search-box.js";
import {
  Blank,
  Button,
  Command,
  LIST_REFUSED,
  Loading,
  Problem,
  useTop,
} from "../components/widgets.js";
import { firstRunCommand } from "../core/curl.js";
import { count, plural, timeOfDay } from "../core/format.js";
import { cursorOf, heldBack, justAfter, pagesBefore } from "../core/paging.js";
import { changed, NO_FILTERS, textOf, wantedOf } from "../core/search.js";
import { html } from "../vendor/preact-htm.js";
import { TITLES } from "./pages.js";

const CLEARED = { ...NO_FILTERS, period: "", from: "", to: "", cursor: "" };
const PAGE = 50;
const EVERY_MS = 1000;
const QUIET_MS = 2500;

const liveOf = (stats) => Object.values(stats.live).reduce((sum, each) => sum + each, 0);

/** When the list is read again; never while it is paused. */
export function everyMs(data) {
  if (data?.isStill) return null;
  return data && !liveOf(data.stats) ? QUIET_MS : EVERY_MS;
}
export const loadedBy = ({ query }) => JSON.stringify(query);

/** Fetch the data of the view; `before` is its previous data, also of other filters. */
export async function load({ api, route, signal, now, before }) {
  const { query } = route;
  const wanted = { ...wantedOf(query), ...periodOf(query, now), limit: PAGE };
  const [list, stats] = await Promise.all([
    api.runs({ ...wanted, cursor: query.cursor }, signal),
    api.stats(signal),
  ]);
  const isStill = before?.isStill;
  const page = { query, stats, at: now, isStill, trail: pagesBefore(query, before), fresh: null };
  const read = { runs: list.runs, next: cursorOf(list.next) };
  const isSame = before && JSON.stringify(before.query) === loadedBy(route);
  const held = isSame && before.runs.length ? heldBack(list.runs, before.runs) : [];
  if (!held.length) return { ...page, ...read };
  // The rows that are shown stay where they are, and the others are shown when somebody asks for them.
  const bounds = { cursor: query.cursor, createdBefore: justAfter(before.runs) };
  const shown = await api.runs({ ...wanted, ...bounds }, signal);
  const others = new Set(heldBack(shown.runs, before.runs));
  const runs = shown.runs.filter((run) => !others.has(run));
  return { ...page, runs, next: cursorOf(shown.next), fresh: { ...read, number: held.length } };
}

/** The filters tell tabs of the same list apart. */
export const titleOf = ({ route: { client, query } }) =>
  [textOf(query), TITLES.runs, client].filter(Boolean).join(" · ");

export function View({ state, actions }) {
  const { route, data, isOld } = state;
  const { client, query } = route;
  const apply = (after) => actions.query({ ...after, cursor: "" }, { keep: true });
  const clear = () => actions.query(CLEARED, { keep: true });
  const open = ({ run, step }) =>
    actions.go({ client, page: "run", id: run, query: step ? { step } : {} });
  const names = async () => {
    const { items } = await actions.api().workflows();
    return items.flatMap((each) => each.workflowName ?? []);
  };
  const narrow = (changes) => apply(changed(query, changes));
  useTop(data ? (data.query.cursor ?? "") : null);
  return html`
    <div class="page-head">
      <h1>Runs</h1>
      ${data && html`<${Live} data=${data} actions=${actions} />`}
    </div>
    <${Filters}>
      <${SearchBox} runs=${data?.runs ?? []} ...${{ client, query, apply, open, names }} />
      <${PeriodFilter} label="Started" query=${query} change=${narrow} />
      <${StatusFilter} chosen=${query.status} change=${narrow} />
    <//>
    <div class="found">
      <${Chips} ...${{ query, apply, clear }} />
      <p class="soft hits" role="status">${isOld ? "Loading…" : data && hits(data)}</p>
      <${Fresh} data=${isOld ? null : data} actions=${actions} />
    </div>
    <${Body} ...${{ state, actions, clear }} />
  `;
}

// How many runs fit, as far as it is known.
function hits({ runs, next, query, trail }) {
  if (query.cursor && !trail) return "";
  const number = (trail ?? []).reduce((sum, page) => sum + page.count, runs.length);
  if (!next) return plural(number, "run");
  return `${count(number)}+ runs`;
}

function Live({ data, actions }) {
  const number = liveOf(data.stats);
  const toggle = () => {
    actions.show({ isStill: !data.isStill });
    actions.refresh();
  };
  const of = data.stats.liveOf;
  const said = number ? `${plural(number, of.slice(0, -1))} live now` : `No live ${of} now`;
  return html`
    <p class="soft">${data.isStill ? `As of ${timeOfDay(data.at)}` : said}</p>
    <div class="page-acts">
      <${Button} small onClick=${toggle}>${data.isStill ? "Resume updates" : "Pause updates"}<//>
    </div>
  `;
}

function Fresh({ data, actions }) {
  if (!data?.fresh) return null;
  const { number, runs, next } = data.fresh;
  const show = () => {
    actions.show({ runs, next, fresh: null });
    actions.refresh();
    scrollTo(0, 0);
  };
  const text = `${number === PAGE ? `${PAGE}+` : number} new ${number === 1 ? "run" : "runs"}`;
  return html`<${Button} small primary onClick=${show}>${text}<//>`;
}

function Body({ state: { route, data, error, now, needsKey, isOld }, actions, clear }) {
  if (error && (!data || isOld))
    return html`<${Problem} error=${error} actions=${actions} absent=${LIST_REFUSED} />`;
  if (!data) return html`<${Loading} rows=${10} />`;
  if (!data.runs.length && isOld) return html`<${Loading} rows=${3} />`;
  const turn = (cursor) => actions.query({ cursor }, { keep: true });
  if (!data.runs.length) return html`<${Nothing} ...${{ route, data, actions, needsKey, clear, turn }} />`;
  const at = data.isStill ? data.at : now;
  return html`
    <${RunTable} runs=${data.runs} client=${route.client} now=${at} isOld=${isOld} />
    <${Pager} page=${data} turn=${turn} isOld=${isOld} />
  `;
}

function Nothing({ route, data, actions, needsKey, clear, turn }) {
  if (data.next) {
    return html`
      <${Blank} icon="search" title="No run fits so far">
        <p>Older runs were not compared yet.</p>
        <${Button} primary onClick=${() => turn(data.next)}>Search older runs<//>
      <//>
    `;
  }
  if (route.query.cursor) {
    return html`
      <${Blank} icon="empty" title="No older runs">
        <${Button} onClick=${() => turn("")}>Back to the newest<//>
      <//>
    `;
  }
  const hasTime = Object.keys(periodOf(route.query, data.at)).length > 0;
  if (hasTime || isFiltered(route.query, Object.keys(NO_FILTERS))) {
    return html`
      <${Blank} icon="search" title="No run fits these filters">
        <${Button} onClick=${clear}>Clear filters<//>
      <//>
    `;
  }
  const command = firstRunCommand(route.client, { origin: location.origin, needsKey });
  return html`
    <${Blank} icon="empty" title="No runs yet">
      <p>Start the first run of client “${route.client}”: post the URL of one of your endpoints.</p>
      <${Command} text=${command} actions=${actions} />
      <p class="soft">
        It appears here by itself. See the <a href="/docs">description of the API</a>.
      </p>
    <//>
  `;
}
