// Runs as rows of a table, and the buttons below that lead to other pages.

import { duration, count, ms, plural, ticking, visible } from "../core/format.js";
import { linkTo } from "../core/router.js";
import { html } from "../vendor/preact-htm.js";
import { Badge, Paused } from "./icons.js";
import { busyIf, Button, Table, When } from "./widgets.js";

const NAMES = ["Status", "Workflow", "Key", "Started", "Duration", "Steps", "Retries"];

/** The runs; `isOld` says that they do not belong to the filters that are shown. */
export function RunTable({ runs, client, now, isOld = false }) {
  return html`
    <${Table}
      ...${busyIf(isOld, "list runs")}
      names=${NAMES}
      caption="Runs, newest first. Arrow keys move between them, Enter opens one."
    >
      ${runs.map((run) => html`<${Row} key=${run.runId} ...${{ run, client, now }} />`)}
    <//>
  `;
}

function Row({ run, client, now }) {
  const { steps, retries = 0, waitsFor } = run.progress;
  const total = Object.values(steps).reduce((sum, number) => sum + number, 0);
  const took = run.finishedAt
    ? duration(ms(run.finishedAt) - ms(run.createdAt))
    : ticking(now - ms(run.createdAt));
  const href = linkTo({ client, page: "run", id: run.runId });
  const [name, key] = [visible(run.workflowName), run.idempotencyKey];
  const isWrong = run.error && run.status !== "succeeded";
  return html`
    <tr>
      <td class="c-status"><${Badge} step=${run} waitsFor=${waitsFor} /><${Paused} step=${run} /></td>
      <td class="c-workflow">
        <a class="row-link" href=${href} title=${name}>${name}</a>
        ${isWrong && html`<span class="row-error" title=${run.error}>${run.error}</span>`}
      </td>
      <td class="c-key"><code title=${key}>${key}</code></td>
      <td class="c-when"><${When} text=${run.createdAt} now=${now} /></td>
      <td class="c-number c-took">${took}</td>
      <td class="c-steps">
        ${
          total
            ? html`<${Meter} done=${steps.succeeded ?? 0} total=${total} failed=${steps.failed ?? 0} />`
            : html`<span class="soft">no steps</span>`
        }
      </td>
      <td class="c-number c-retries ${run.status === "succeeded" ? "soft" : ""}">
        ${retries > 0 && html`<span title=${plural(retries, "retry").replace("retrys", "retries")}>
          <span aria-hidden="true">↻ </span>${count(retries)}
        </span>`}
      </td>
    </tr>
  `;
}

function Meter({ done, total, failed }) {
  const share = (number) => ({ width: `${(number / total) * 100}%` });
  return html`
    <span class="meter">
      <span class="meter-text">${count(done)}/${count(total)}</span>
      <span class="meter-bar" aria-hidden="true">
        <span class="meter-done" style=${share(done)} /><span class="meter-failed" style=${share(failed)} />
      </span>
    </span>
  `;
}

/**
 * The buttons of a page: `page` is the data of a list, with its `trail` of pages before. While it `isOld`,
 * they would lead on from another list, and so do nothing.
 */
export function Pager({ page, turn, isOld }) {
  const { runs, next, trail, query } = page;
  const newer = trail?.at(-1);
  const first = (trail ?? []).reduce((sum, each) => sum + each.count, 1);
  const shown = trail?.length
    ? `Runs ${count(first)} to ${count(first + runs.length - 1)}`
    : `${plural(runs.length, "run")} on this page`;
  const button = (cursor, text) => html`
    <${Button} aria-disabled=${isOld ? "true" : undefined} onClick=${() => isOld || turn(cursor)}>
      ${text}
    <//>
  `;
  return html`
    <nav class="pager" aria-label="Pages">
      <span class="soft">${isOld ? "Loading…" : shown}</span>
      ${query.cursor && button("", "Newest")} ${newer && button(newer.cursor, "Newer")}
      ${next && button(next, "Older")}
    </nav>
  `;
}
