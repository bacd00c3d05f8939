// One schedule: its next times, its newest runs, its policies in words, and what can be done to it.

import { Json } from "../components/json.js";
import { withPart } from "../components/later.js";
import { Pause } from "../components/pause.js";
import { RunTable } from "../components/run-table.js";
import { LastRun, NextRun, WhenInWords } from "../components/schedule-parts.js";
import { Button, Fact, Loading, Problem, Table, When } from "../components/widgets.js";
import { schedulesOf } from "../core/api-of-schedules.js";
import { wholeDuration } from "../core/cadence.js";
import { ahead, count, fullTime, ms, shownZone, visible } from "../core/format.js";
import { newKey } from "../core/new-key.js";
import { linkTo } from "../core/router.js";
import { catchUpInWords, limitsInWords, overlapInWords, troublesOf } from "../core/schedule-words.js";
import { timeIn } from "../core/zoned-times.js";
import { html, useMemo } from "../vendor/preact-htm.js";

const EVERY_MS = 5000;
const SOON_MS = 1000;
const RUNS = 10;
const TIMES = 10;
const ABSENT = "It was deleted, or it belongs to another client. Its runs are in the list of runs.";
const PAUSE = {
  what: "schedule",
  effect: "It starts nothing until it is resumed. Its runs go on.",
  resumed: "The schedule goes on with its next time. Backfill starts the runs of times before.",
  noteMax: 1000,
  pause: (api, name, note) => schedulesOf(api).pauseSchedule(name, note),
  resume: (api, name) => schedulesOf(api).resumeSchedule(name),
};

/** More often while a run is about to start. */
export function everyMs(data) {
  const due = ms(data?.schedule.dueAt ?? null);
  return due !== null && due - data.at < 2 * EVERY_MS ? SOON_MS : EVERY_MS;
}
export const loadedBy = ({ id }) => id;

/** The runs of a schedule have its name at the beginning of their keys. */
const keyOf = (name) => `${name}@`;

/** Fetch the data of the view. */
export async function load({ api, route: { id: name }, signal, now }) {
  const [schedule, stats] = await Promise.all([schedulesOf(api).schedule(name, signal), api.stats(signal)]);
  const own = { workflowName: schedule.start.workflowName, keyPrefix: keyOf(name) };
  // A time whose spread is not over is still to come.
  const from = schedule.next[0];
  const [times, { runs }] = await Promise.all([
    schedulesOf(api).nextTimes(name, { count: TIMES, from }, signal),
    api.runs({ ...own, limit: RUNS }, signal),
  ]);
  return { schedule, times: leftOf(schedule, times), runs, stats, at: now };
}

/** The times that its limit leaves. */
function leftOf({ limit, started }, times) {
  return limit === null ? times : times.slice(0, Math.max(0, limit - started));
}

export function View({ state, actions }) {
  const { route, data } = state;
  return html`
    <a class="back" href=${linkTo({ client: route.client, page: "schedules" })}>← Schedules</a>
    <div class="page-head">
      <h1><bdi>${visible(route.id)}</bdi></h1>
      ${
        data &&
        actions.may("act") &&
        html`<${Acts} ...${{ schedule: data.schedule, now: state.now, actions }} />`
      }
    </div>
    <${Body} state=${state} actions=${actions} />
  `;
}

const withBackfill = (actions, use) => withPart(() => import("../components/backfill.js"), actions, use);

function Acts({ schedule, now, actions }) {
  const backfill = () =>
    withBackfill(actions, ({ askForBackfill }) => askForBackfill(schedule, now, actions));
  return html`
    <div class="page-acts">
      <${Button} small primary onClick=${() => askToTrigger(schedule, actions)}>Trigger now…<//>
      <${Button} small onClick=${backfill}>Backfill…<//>
      <${Button} small danger onClick=${() => askToDelete(schedule, actions)}>Delete…<//>
    </div>
  `;
}

function askToTrigger({ name, start }, actions) {
  const once = newKey();
  actions.ask({
    title: `Trigger ${name} now?`,
    text: [
      `A run of ${start.workflowName} starts, which calls ${start.stepInvokeUrl}.`,
      "It starts also while the schedule is paused, and whatever the last run does.",
      "The times of the schedule stay as they are.",
    ],
    verb: "Trigger now",
    act: async (api) => {
      await schedulesOf(api).trigger(name, once);
      return `The run with key ${keyOf(name)}now-${once} was started.`;
    },
  });
}

function askToDelete({ name }, actions) {
  actions.ask({
    title: `Delete ${name}?`,
    text: ["It starts no run any more. Its runs go on, and stay in the list.", "This cannot be undone."],
    verb: "Delete schedule",
    keep: "Keep the schedule",
    danger: true,
    act: async (api) => {
      await schedulesOf(api).deleteSchedule(name);
      actions.go({ client: api.client, page: "schedules" });
      return `The schedule ${name} is deleted.`;
    },
  });
}

function Body({ state: { route, data, error, now }, actions }) {
  if (error && !data) return html`<${Problem} error=${error} actions=${actions} absent=${ABSENT} />`;
  if (!data) return html`<${Loading} />`;
  const { schedule, times, runs } = data;
  const { client, id: name } = route;
  const workflow = schedule.start.workflowName;
  const all = linkTo({ client, page: "runs", query: { workflow, search: keyOf(name) } });
  const paused = schedule.paused ? { note: schedule.note } : null;
  return html`
    <${Pause} key=${name} ...${{ of: PAUSE, name, paused, actions }} />
    <${Summary} ...${{ schedule, client, now }} />
    <div class="schedule-halves">
      <${NextTimes} ...${{ schedule, times, now }} />
      <${Details} ...${{ schedule, client, now }} />
    </div>
    <section class="part">
      <h2>Newest runs</h2>
      ${
        runs.length
          ? html`
              <${RunTable} runs=${runs} client=${client} now=${now} />
              <p><a class="alone" href=${all}>All runs of this schedule</a></p>
            `
          : html`<p class="soft">No run of it is kept.</p>`
      }
    </section>
  `;
}

function Summary({ schedule, client, now }) {
  const { start, started, note, paused, refused } = schedule;
  const troubles = troublesOf(schedule).join(" · ");
  return html`
    <dl class="facts summary">
      <${Fact} name="Starts">
        <a href=${linkTo({ client, page: "workflow", id: start.workflowName })}>
          <bdi>${visible(start.workflowName)}</bdi>
        </a>
      <//>
      <${Fact} name="When"><${WhenInWords} schedule=${schedule} /><//>
      <${Fact} name="Next run"><${NextRun} schedule=${{ ...schedule, note: "" }} now=${now} /><//>
      <${Fact} name="Last run"><${LastRun} ...${{ schedule, client, now }} /><//>
      <${Fact} name="Started">
        ${count(started)}${troubles && html`<span class="row-under">${troubles}</span>`}
      <//>
    </dl>
    ${note && !paused && html`<p class="soft"><bdi>${visible(note)}</bdi></p>`}
    ${refused && html`<p class="error-text">The start is refused: <bdi>${visible(refused)}</bdi></p>`}
  `;
}

// The coming times: by the clock of the page, of the schedule, and in UTC, each clock once.
function NextTimes({ schedule, times, now }) {
  const zones = [...new Set([shownZone(), schedule.cron ? schedule.timeZone : "UTC", "UTC"])].filter(
    (zone) => timeIn(zone, now, now) !== null,
  );
  return html`
    <section class="part">
      <h2>Next times</h2>
      ${schedule.paused && html`<p class="soft">None of them starts a run while it is paused.</p>`}
      ${
        times.length
          ? html`
              <div class="scroll-x" tabindex="0" role="region" aria-label="Next times">
                <${Table} class="list times" names=${["In", ...zones]} caption="Next times">
                  ${times.map((text) => html`<${Time} key=${text} ...${{ text, zones, now }} />`)}
                <//>
              </div>
            `
          : html`<p class="soft">It has no times any more.</p>`
      }
    </section>
  `;
}

function Time({ text, zones, now }) {
  const at = ms(text);
  return html`
    <tr>
      <td><time datetime=${text}>${ahead(at, now)}</time></td>
      ${zones.map((zone) => html`<td><span class="zone">${zone} </span>${timeIn(zone, at, now)}</td>`)}
    </tr>
  `;
}

function Details({ schedule, client, now }) {
  const { start, spread, createdAt, updatedAt } = schedule;
  const limits = limitsInWords(schedule, fullTime);
  return html`
    <section class="ranking">
      <h2>Definition</h2>
      <dl class="facts narrow">
        <${Fact} name="URL"><code>${visible(start.stepInvokeUrl)}</code><//>
        <${Fact} name="Overlap">${overlapInWords(schedule)}<//>
        <${Fact} name="Catch-up">${catchUpInWords(schedule)}<//>
        ${
          spread > 0 &&
          html`<${Fact} name="Spread">Runs start up to ${wholeDuration(spread)} after their time.<//>`
        }
        <${Fact} name="Ends">${limits.length ? limits.join(" ") : "never"}<//>
        <${Fact} name="Retries">${start.retry.count ? `up to ${count(start.retry.count)}` : "none"}<//>
        ${start.tags && html`<${Tags} tags=${start.tags} />`}
        <${Fact} name="Created"><${When} text=${createdAt} now=${now} /><//>
        <${Fact} name="Changed"><${When} text=${updatedAt} now=${now} /><//>
      </dl>
      <${Payload} value=${start.payload} client=${client} />
    </section>
  `;
}

function Tags({ tags }) {
  const pairs = Object.entries(tags);
  if (!pairs.length) return null;
  return html`
    <${Fact} name="Tags">
      ${pairs.map(([name, value]) => html`<span class="chip">${visible(`${name}: ${value}`)}</span>`)}
    <//>
  `;
}

/** What each run gets. The page is drawn twice a second. */
function Payload({ value, client }) {
  return useMemo(
    () => html`<h3>Payload</h3><${Json} name="Payload" value=${value} client=${client} />`,
    [value.text, client],
  );
}
