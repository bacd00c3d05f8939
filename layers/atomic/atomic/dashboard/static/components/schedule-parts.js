// Parts of a schedule that its row in the list and its page have: when, the next run, the last run.

import { whenInWords } from "../core/cadence.js";
import { ahead, fullTime, ms, shownZone, visible } from "../core/format.js";
import { linkTo } from "../core/router.js";
import { isOver } from "../core/schedule-words.js";
import { timeIn } from "../core/zoned-times.js";
import { html } from "../vendor/preact-htm.js";
import { Badge, Icon } from "./icons.js";
import { When } from "./widgets.js";

/** Its times as a phrase, and the expressions that say so. */
export function WhenInWords({ schedule }) {
  const { text, code } = whenInWords(schedule);
  return html`
    <span>${text}</span>
    ${code && html`<code class="row-under" title=${code}>${code}</code>`}
  `;
}

/** When it starts a run next, or why it does not. */
export function NextRun({ schedule, now }) {
  const { paused, note, dueAt, next, queued } = schedule;
  if (paused) {
    return html`
      <span class="badge is-warn"><${Icon} name="waiting" />paused</span>
      ${note && html`<span class="row-under" title=${visible(note)}><bdi>${visible(note)}</bdi></span>`}
    `;
  }
  if (isOver(schedule)) return html`<span class="soft">no more runs</span>`;
  if (queued) {
    return html`
      <span title=${fullTime(ms(queued))}>at the end of the last run</span>
      ${next[0] && html`<span class="row-under">then ${ahead(ms(next[0]), now)}</span>`}
    `;
  }
  // With a spread, or after a refusal, it starts later than its time.
  const at = ms(dueAt ?? next[0]);
  return html`
    <time datetime=${dueAt ?? next[0]} title=${fullTime(at)}>${ahead(at, now)}</time>
    <span class="row-under">${timeIn(shownZone(), ms(next[0]), now)}</span>
  `;
}

/** The state of the run that it started last, as a link to it, and the time that this run is for. */
export function LastRun({ schedule: { last }, client, now }) {
  if (!last) return html`<span class="soft">none yet</span>`;
  return html`
    <a class="run-badge" href=${linkTo({ client, page: "run", id: last.runId })}>
      ${last.status ? html`<${Badge} step=${last} />` : "its run"}
    </a>
    <span class="row-under"><${When} text=${last.scheduledAt} now=${now} /></span>
  `;
}
