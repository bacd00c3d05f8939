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

/** `rows` as `workflowsOf` makes them; `change(sort)` sets the order. `isAll`: whether these are all. */
export function WorkflowTable({ rows, sort, client, period, isAll, change }) {
  const [isWhole, setWhole] = useState(false);
  const shown = isWhole ? rows : rows.slice(0, FIRST);
  return html`
    <section class="ranking">
      <h2>Workflows</h2>
      <div class="scroll-x" tabindex="0" role="region" aria-label="Workflows">
        <table class="workflows">
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
      <td class="c-number c-started"><${Spark} bars=${row.bars} />${count(row.started)}</td>
      <td class="c-number ${row.failed ? "c-failed" : ""}">${count(row.failed)}</td>
      <td class="c-number">${row.rate === null ? "–" : percent(row.rate)}</td>
      <td class="c-number">${duration(row.p50)}</td>
      <td class="c-number">${duration(row.p95)}</td>
      <td class="c-number">${count(row.retries)}</td>
      <td class="c-number">${count(row.live)}</td>
    </tr>
  `;
}
