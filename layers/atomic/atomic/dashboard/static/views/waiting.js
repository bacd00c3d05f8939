// Open events: what workflows wait for from a person. They are answered here.

import { AnswerEvent } from "../components/answer-event.js";
import { Json } from "../components/json.js";
import { Blank, LIST_REFUSED, Loading, PageTurner, Problem, useTop } from "../components/widgets.js";
import { eventsOf } from "../core/api-of-events.js";
import { fullTime, ms, plural, ticking } from "../core/format.js";
import { linkTo } from "../core/router.js";
import { html, useMemo } from "../vendor/preact-htm.js";

// Each run of a page is one request.
const PAGE = 10;
const EVERY_MS = 10_000;

export const everyMs = () => EVERY_MS;
export const loadedBy = ({ query }) => JSON.stringify(query);

/** Fetch the data of the view. */
export async function load({ api, route, signal }) {
  const [found, stats] = await Promise.all([
    eventsOf(api).openEvents({ cursor: route.query.cursor, limit: PAGE }, signal),
    api.stats(signal),
  ]);
  return { ...found, stats };
}

export function View({ state, actions }) {
  const { data, route } = state;
  useTop(route.query.cursor ?? "");
  return html`
    <div class="page-head">
      <h1>Waiting for you</h1>
      ${
        data &&
        !route.query.cursor &&
        html`<p class="soft">${data.next ? "at least " : ""}${plural(data.events.length, "open event")}</p>`
      }
    </div>
    <${Body} state=${state} actions=${actions} />
  `;
}

function Body({ state: { route, data, error, now }, actions }) {
  if (error && !data) return html`<${Problem} error=${error} actions=${actions} absent=${LIST_REFUSED} />`;
  if (!data) return html`<${Loading} rows=${3} />`;
  return html`
    ${
      data.events.length
        ? html`<ul class="events">
            ${data.events.map(
              (each) => html`<${Event} key=${each.event.id} ...${{ ...each, route, now, actions }} />`,
            )}
          </ul>`
        : html`<${Nothing} isFirst=${!route.query.cursor && !data.next} />`
    }
    <${PageTurner} ...${{ route, next: data.next, actions }}>
      ${data.events.length > 1 && order(Boolean(route.query.cursor || data.next))}
    <//>
  `;
}

// A page has the events of the runs that started last, so another one may have an event that ends sooner.
const order = (isPaged) =>
  isPaged
    ? "By deadline among the events of this page. Pages begin with the runs that started last."
    : "The soonest deadline first, then those without one, the oldest first";

function Nothing({ isFirst }) {
  if (!isFirst) return html`<${Blank} icon="search" title="No open event on this page" />`;
  return html`
    <${Blank} icon="succeeded" title="Nothing waits for you">
      <p>A workflow that waits for an event, such as an approval, is listed here until it is answered.</p>
    <//>
  `;
}

function Event({ event, root, route, now, actions }) {
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
        <h2><a href=${href}><bdi>${event.stepName}</bdi></a></h2>
        <p class="soft">
          in <bdi>${event.workflowName}</bdi>, key <code>${root.idempotencyKey}</code>
        </p>
      </header>
      <p class="soft">
        Waiting for${" "}
        <time datetime=${event.createdAt} title=${fullTime(since)}>${ticking(now - since)}</time>
        ${ends && html`, <span title=${fullTime(ends)}>${expiryInWords(ends - now)}</span>`}
      </p>
      <${Payload} value=${payload} client=${route.client} />
      <${AnswerEvent} event=${event} payload=${payload} actions=${actions} />
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
