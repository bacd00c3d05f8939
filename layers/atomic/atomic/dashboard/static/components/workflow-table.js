// All workflows with their numbers, in the order of a column.

import { count, duration, percent, visible } from "../core/format.js";
import { linkTo } from "../core/router.js";
import { html, useState } from "../vendor/preact-htm.js";
import { Spark } from "./chart.js";
import { Button } from "./widgets.js";

const FIRST = 15;
const COLUMNS = [
  ["workflowName", "Workflow"],
  ["started", "Started"],
  ["failed", "Failed"],
  ["rate", "Failure rate"],
  ["p50", "Median"],
  ["p95", "95 %"],
  ["retries", "Retries"],
  ["live", "Live runs"],
];
const TITLES = new Map(COLUMNS);

/** `rows` as `workflowsOf` makes them; `change(sort)` sets the order. `isAll`: whether these are all. */
export function WorkflowTable({ rows, sort, client, period, isAll, change }) {
  const [isWhole, setWhole] = useState(false);
  const shown = isWhole ? rows : rows.slice(0, FIRST);
  return html`
    <section class="ranking">
      <h2>Workflows</h2>
      <div class="scroll-x" tabindex="0" role="region" aria-label="Workflows">
        <table class="workflows as-cards">
          <thead>
            <tr>
              ${COLUMNS.map(([name, title]) => html`<${Head} ...${{ name, title, sort, change }} />`)}
            </tr>
          </thead>
          <tbody>
            ${shown.map((row) => html`<${Row} key=${row.workflowName} ...${{ row, client, period }} />`)}
          </tbody>
        </table>
      </div>
      ${!rows.length && html`<p class="soft">None was started in this time.</p>`}
      ${
        rows.length > FIRST &&
        html`<${Button} small onClick=${() => setWhole(!isWhole)}>
          ${isWhole ? `Show the first ${FIRST}` : `Show all ${count(rows.length)}`}
        <//>`
      }
      ${!isAll && html`<p class="soft">There are more workflows than this page reads.</p>`}
    </section>
  `;
}

function Head({ name, title, sort, change }) {
  const by = sort.replace("-", "");
  const isUp = sort.startsWith("-") !== (by === "workflowName");
  const order = by !== name ? undefined : isUp ? "ascending" : "descending";
  const next = sort === name ? `-${name}` : name;
  return html`
    <th scope="col" aria-sort=${order}>
      <button type="button" onClick=${() => change(next)}>
        ${title}<span aria-hidden="true">${order ? (isUp ? " ↑" : " ↓") : ""}</span>
      </button>
    </th>
  `;
}

function Row({ row, client, period }) {
  const { workflowName: name } = row;
  const href = name && linkTo({ client, page: "workflow", id: name, query: { period } });
  return html`
    <tr>
      <td>
        ${name ? html`<a href=${href}>${visible(name)}</a>` : html`<span class="soft">all others</span>`}
      </td>
      <${Cell} of="started"><${Spark} bars=${row.bars} />${count(row.started)}<//>
      <${Cell} of="failed" isBad=${row.failed > 0}>${count(row.failed)}<//>
      <${Cell} of="rate">${row.rate === null ? "–" : percent(row.rate)}<//>
      <${Cell} of="p50">${duration(row.p50)}<//>
      <${Cell} of="p95">${duration(row.p95)}<//>
      <${Cell} of="retries">${count(row.retries)}<//>
      <${Cell} of="live">${count(row.live)}<//>
    </tr>
  `;
}

/** A number. On a phone it stands beside the name of its column. */
function Cell({ of, isBad, children }) {
  const classes = `c-number${isBad ? " c-failed" : ""}`;
  return html`<td class=${classes} data-name=${TITLES.get(of)}>${children}</td>`;
}
