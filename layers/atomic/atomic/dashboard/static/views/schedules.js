// Schedules: when each of them starts a run next, how its last run ended, what was left out.

import { Select } from "../components/fields.js";
import { Filters, isFiltered, TextFilter, useClear } from "../components/filters.js";
import { LastRun, NextRun, WhenInWords } from "../components/schedule-parts.js";
import { Blank, Button, Command, LIST_REFUSED, Loading, Problem, Table } from "../components/widgets.js";
import { schedulesOf } from "../core/api-of-schedules.js";
import { count, plural, visible } from "../core/format.js";
import { pythonSchedule, scheduleCommand, typescriptSchedule } from "../core/programs.js";
import { linkTo } from "../core/router.js";
import { shownSchedules, troublesOf } from "../core/schedule-words.js";
import { html, useState } from "../vendor/preact-htm.js";

const FILTERS = ["find"];
const SORTS = [
  ["", "Name"],
  ["next", "Next run"],
  ["failures", "Failures in a row"],
];
// So many are on a page: each row is drawn twice a second. Lists of more are read less often.
const PAGE = 100;
const EVERY_MS = 5000;
const EVERY_OF_MANY_MS = 30_000;

export const everyMs = (data) => (data?.schedules.length > PAGE ? EVERY_OF_MANY_MS : EVERY_MS);
export const loadedBy = () => "";

/** Fetch the data of the view: all schedules, since a client has 1,000 at most. */
export async function load({ api, signal }) {
  const [{ items }, stats] = await Promise.all([schedulesOf(api).schedules(signal), api.stats(signal)]);
  return { schedules: items, stats };
}

export function View({ state, actions }) {
  const { route, data } = state;
  const { key, clear } = useClear(FILTERS, actions.query);
  return html`
    <div class="page-head">
      <h1>Schedules</h1>
      ${data?.schedules.length > 0 && html`<p class="soft">${inWords(data.schedules)}</p>`}
    </div>
    ${
      data?.schedules.length > 0 &&
      html`
        <${Filters} key=${key}>
          <${TextFilter}
            label="Name or workflow"
            value=${route.query.find}
            change=${(find) => actions.query({ find })}
          />
          <${Select}
            label="Order"
            value=${route.query.sort ?? ""}
            options=${SORTS}
            change=${(sort) => actions.query({ sort })}
          />
          ${isFiltered(route.query, FILTERS) && html`<${Button} small onClick=${clear}>Clear filters<//>`}
        <//>
      `
    }
    <${Body} ...${{ state, actions, clear }} />
  `;
}

function inWords(schedules) {
  const paused = schedules.filter((each) => each.paused).length;
  const failing = schedules.filter((each) => each.failures > 0).length;
  const parts = [
    plural(schedules.length, "schedule"),
    paused > 0 && `${count(paused)} paused`,
    failing > 0 && `${count(failing)} with failures`,
  ];
  return parts.filter(Boolean).join(", ");
}

function Body({ state: { route, data, error, now }, actions, clear }) {
  const [at, setAt] = useState(0);
  if (error && !data) return html`<${Problem} error=${error} actions=${actions} absent=${LIST_REFUSED} />`;
  if (!data) return html`<${Loading} />`;
  if (!data.schedules.length) return html`<${Nothing} client=${route.client} actions=${actions} />`;
  const fitting = shownSchedules(data.schedules, route.query);
  if (!fitting.length) {
    return html`
      <${Blank} icon="search" title="No schedule fits these filters">
        <${Button} onClick=${clear}>Clear filters<//>
      <//>
    `;
  }
  // A filter may leave fewer than there were before.
  const first = at < fitting.length ? at : 0;
  const shown = fitting.slice(first, first + PAGE);
  return html`
    <${Table}
      class="list schedules"
      names=${["Schedule", "When", "Next run", "Last run", "Failed or left out"]}
      caption="Schedules. Arrow keys move between them, Enter opens one."
    >
      ${shown.map((schedule) => html`<${Row} key=${schedule.name} ...${{ schedule, route, now }} />`)}
    <//>
    ${fitting.length > PAGE && html`<${Pager} ...${{ first, number: fitting.length, turn: setAt }} />`}
  `;
}

function Pager({ first, number, turn }) {
  const last = Math.min(first + PAGE, number);
  return html`
    <nav class="pager" aria-label="Pages">
      <span class="soft">Schedules ${count(first + 1)} to ${count(last)} of ${count(number)}</span>
      ${first > 0 && html`<${Button} onClick=${() => turn(first - PAGE)}>Previous<//>`}
      ${last < number && html`<${Button} onClick=${() => turn(last)}>Next<//>`}
    </nav>
  `;
}

function Row({ schedule, route: { client }, now }) {
  const { name, start, failures, refused } = schedule;
  const [workflow, why] = [start.workflowName, refused ?? ""].map(visible);
  const troubles = troublesOf(schedule).join(" · ");
  return html`
    <tr>
      <td class="c-schedule">
        <a class="row-link" href=${linkTo({ client, page: "schedule", id: name })} title=${name}>${name}</a>
        <span class="row-under" title=${workflow}><bdi>${workflow}</bdi></span>
      </td>
      <td class="c-words"><${WhenInWords} schedule=${schedule} /></td>
      <td class="c-next"><${NextRun} schedule=${schedule} now=${now} /></td>
      <td class="c-last"><${LastRun} ...${{ schedule, client, now }} /></td>
      <td class="c-troubles">
        ${troubles && html`<span class=${failures ? "cause" : "soft"}>${troubles}</span>`}
        ${refused && html`<span class="row-text" title=${why}>Refused: <bdi>${why}</bdi></span>`}
      </td>
    </tr>
  `;
}

function Nothing({ client, actions }) {
  const { origin } = location;
  const ways = [
    ["On the command line", scheduleCommand(client, origin)],
    ["In Python", pythonSchedule(client, origin)],
    ["In TypeScript", typescriptSchedule(client, origin)],
  ];
  return html`
    <${Blank} icon="pending" title="No schedules yet">
      <p>A schedule starts a workflow at certain times. The server does this by itself.</p>
      ${ways.map(([name, text]) => html`<h3>${name}</h3><${Command} text=${text} actions=${actions} />`)}
    <//>
  `;
}
