// Open events: what workflows wait for from a person. They are answered here.

import { AnswerEvent } from "../components/answer-event.js";
import { Json } from "../components/json.js";
import {
  Blank,
  busyIf,
  LIST_REFUSED,
  Loading,
  PageTurner,
  Problem,
  useTop,
} from "../components/widgets.js";
import { eventsOf } from "../core/api-of-events.js";
import { fullTime, ms, plural, ticking, visible } from "../core/format.js";
import { linkTo } from "../core/router.js";
import { html, useMemo } from "../vendor/preact-htm.js";

// Each run of a page is a request, a large run up to five. These are read less often.
const PAGE = 10;
const EVERY_MS = 10_000;
const EVERY_OF_LARGE_MS = 60_000;

export const everyMs = (data) => (data?.isLarge ? EVERY_OF_LARGE_MS : EVERY_MS);
export const loadedBy = ({ query }) => JSON.stringify(query);

/** Fetch the data of the view. */
export async function load({ api, route, signal }) {
  const [found, stats] = await Promise.all([
    eventsOf(api).openEvents({ cursor: route.query.cursor, limit: PAGE }, signal),
    api.stats(signal),
  ]);
  return { ...found, stats };
}

const isAll = ({ next, beyond }) => !next && !beyond.length;

export function View({ state, actions }) {
  const { data, route, isOld } = state;
  useTop(route.query.cursor ?? "");
  return html`
    <div class="page-head">
      <h1>Waiting for you</h1>
      ${
        data &&
        !isOld &&
        !route.query.cursor &&
        html`<p class="soft">
          ${isAll(data) ? "" : "at least "}${plural(data.events.length, "open event")}
        </p>`
      }
    </div>
    <${Body} state=${state} actions=${actions} />
  `;
}

function Body({ state: { route, data, error, now, isOld }, actions }) {
  if (error && (!data || isOld))
    return html`<${Problem} error=${error} actions=${actions} absent=${LIST_REFUSED} />`;
  if (!data || (isOld && !data.events.length)) return html`<${Loading} rows=${3} />`;
  const { events, beyond } = data;
  return html`
    ${
      events.length || beyond.length
        ? html`<ul ...${busyIf(isOld, "events")}>
            ${events.map(
              (each) =>
                html`<${Event} key=${each.event.id} ...${{ ...each, route, now, actions, isOld }} />`,
            )}
            ${beyond.map((run) => html`<${Beyond} key=${run.root.id} run=${run} client=${route.client} />`)}
          </ul>`
        : html`<${Nothing} isFirst=${!route.query.cursor && !data.next} />`
    }
    <${PageTurner} ...${{ route, next: data.next, actions, isOld }}>
      ${events.length > 1 && order(Boolean(route.query.cursor || data.next))}
    <//>
  `;
}

// A page has the events of the runs that started last, so another one may have an event that ends sooner.
const order = (isPaged) =>
  isPaged
    ? "By deadline among the events of this page. Pages begin with the runs that started last."
    : "The soonest deadline first, then those without one, the oldest first";

/** A run with more steps than this page reads. */
function Beyond({ run: { root, steps, events }, client }) {
  const said = events.length
    ? `Other events of this run may be beyond its first ${plural(steps, "step")}.`
    : `An event of this run is beyond its first ${plural(steps, "step")}.`;
  return html`
    <li class="event">
      <header>
        <h2>
          <a href=${linkTo({ client, page: "run", id: root.runId })}>
            <bdi>${visible(root.workflowName)}</bdi>
          </a>
        </h2>
        <p class="soft">key <code>${root.idempotencyKey}</code></p>
      </header>
      <p>${said} Open the run to answer it there.</p>
    </li>
  `;
}

function Nothing({ isFirst }) {
  if (!isFirst) return html`<${Blank} icon="search" title="No open event on this page" />`;
  return html`
    <${Blank} icon="succeeded" title="Nothing waits for you">
      <p>A workflow that waits for an event, such as an approval, is listed here until it is answered.</p>
    <//>
  `;
}

function Event({ event, root, route, now, actions, isOld }) {
  const href = linkTo({
    client: route.client,
    page: "run",
    id: event.runId,
    query: { step: event.id },
  });
  const since = ms(event.createdAt);
  const ends = ms(event.deadlineAt);
  const payload = event.payload.isNull ? root.payload : event.payload;
  return html`
    <li class="event">
      <header>
        <h2><a href=${href}><bdi>${visible(event.stepName)}</bdi></a></h2>
        <p class="soft">
          in <bdi>${visible(event.workflowName)}</bdi>, key${" "}
          <code>${root.idempotencyKey}</code>
        </p>
      </header>
      <p class="soft">
        Waiting for${" "}
        <time datetime=${event.createdAt} title=${fullTime(since)}>${ticking(now - since)}</time>
        ${ends && html`, <span title=${fullTime(ends)}>${expiryInWords(ends - now)}</span>`}
      </p>
      <${Payload} value=${payload} client=${route.client} />
      ${!isOld && html`<${AnswerEvent} event=${event} payload=${payload} actions=${actions} />`}
    </li>
  `;
}

const expiryInWords = (left) => (left > 0 ? `expires in ${ticking(left)}` : "its time is over");

/** What the event is about: its own payload, else that of its run. The page is drawn twice a second. */
function Payload({ value, client }) {
  return useMemo(
    () => (value.isNull ? null : html`<${Json} name="Payload" value=${value} client=${client} />`),
    [value.text],
  );
}
