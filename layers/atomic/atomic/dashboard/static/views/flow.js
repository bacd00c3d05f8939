// What holds calls back: the keys of flow control, how endpoints do, and the limits of the client.

import { EndpointTable } from "../components/endpoint-table.js";
import { KeyBadges, Meter, rateInWords } from "../components/flow-words.js";
import { Limits } from "../components/limits.js";
import {
  Blank,
  busyIf,
  LIST_REFUSED,
  Loading,
  PageTurner,
  Problem,
  Since,
  Table,
} from "../components/widgets.js";
import { flowOf } from "../core/api-of-flow.js";
import { count, plural, visible } from "../core/format.js";
import { linkTo } from "../core/router.js";
import { html } from "../vendor/preact-htm.js";

const PAGE = 100;
const EVERY_MS = 3000;
// The limits change slowly, and on AWS each look at them costs a write.
const LIMITS_EVERY = 20;
const COLUMNS = ["Key", "Running", "Queued", "Oldest waits", "Rate"];

export const everyMs = () => EVERY_MS;
export const loadedBy = ({ query }) => query.cursor ?? "";

/** Fetch the data of the view; `before` is its previous data. */
export async function load({ api, route, signal, before }) {
  const round = before?.round ?? 0;
  const [found, endpoints, limits, stats] = await Promise.all([
    flowOf(api).flowKeys({ after: route.query.cursor, limit: PAGE }, signal),
    // A server that cannot tell is not asked again.
    before?.endpoints === null ? null : flowOf(api).endpoints(signal),
    round % LIMITS_EVERY ? before.limits : api.limits(signal),
    api.stats(signal),
  ]);
  return { ...found, endpoints, limits, stats, round: round + 1 };
}

export function View({ state, actions }) {
  const { data, route, isOld } = state;
  const queued = data?.keys.reduce((sum, key) => sum + key.queued, 0);
  return html`
    <div class="page-head">
      <h1>Flow</h1>
      ${
        data &&
        !isOld &&
        !data.next &&
        !route.query.cursor &&
        html`<p class="soft">${plural(data.keys.length, "key")}, ${plural(queued, "step")} in line</p>`
      }
    </div>
    <${Body} state=${state} actions=${actions} />
  `;
}

function Body({ state: { route, data, error, now, isOld }, actions }) {
  if (error && (!data || isOld))
    return html`<${Problem} error=${error} actions=${actions} absent=${LIST_REFUSED} />`;
  if (!data) return html`<${Loading} />`;
  return html`
    ${
      data.keys.length
        ? html`<${Keys} ...${{ keys: data.keys, route, now, isOld }} />`
        : html`<${Nothing} />`
    }
    ${
      (data.next || route.query.cursor) &&
      html`
        <${PageTurner} ...${{ route, next: data.next, actions, isOld }} names=${["First", "Next"]}>
          ${plural(data.keys.length, "key")} on this page, by name
        <//>
      `
    }
    ${data.endpoints && html`<${EndpointTable} found=${data.endpoints} />`}
    <${Limits} limits=${data.limits} now=${now} />
  `;
}

function Keys({ keys, route, now, isOld }) {
  return html`
    <${Table}
      ...${busyIf(isOld, "list flow")}
      names=${COLUMNS}
      caption="Keys of flow control, by name. Arrow keys move between them, Enter opens one."
    >
      ${keys.map((key) => html`<${Row} key=${key.key} of=${key} client=${route.client} now=${now} />`)}
    <//>
  `;
}

function Row({ of, client, now }) {
  const { key, running, queued, concurrency, oldest, pace } = of;
  return html`
    <tr>
      <td class="c-name">
        <a class="row-link" href=${linkTo({ client, page: "flow-key", id: key })}>
          <bdi>${visible(key)}</bdi>
        </a>
        <${KeyBadges} of=${of} />
      </td>
      <td class="c-slots"><${Meter} used=${running} most=${concurrency} /></td>
      <td class="c-number"><span class="only-narrow">queued </span>${count(queued)}</td>
      <td class="c-when">
        <span class="only-narrow">oldest waits </span><${Since} text=${oldest} now=${now} />
      </td>
      <td class="c-rate">${pace ? rateInWords(pace) : html`<span class="not-narrow">–</span>`}</td>
    </tr>
  `;
}

function Nothing() {
  return html`
    <${Blank} icon="empty" title="No keys of flow control">
      <p>Steps that name the same key share its limits. A key stands here when a step has named it.</p>
    <//>
  `;
}
