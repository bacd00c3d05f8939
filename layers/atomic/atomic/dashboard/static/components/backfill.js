// A backfill: shows which runs it starts, starts these, and says what became of them.

import { schedulesOf } from "../core/api-of-schedules.js";
import { findTimes, numbersOf, startTimes } from "../core/backfill.js";
import { count, errorText, fullTime, ms, plural } from "../core/format.js";
import { linkTo } from "../core/router.js";
import { html, useLayoutEffect, useRef, useState } from "../vendor/preact-htm.js";
import { DialogBody } from "./dialog.js";
import { MomentField } from "./filters.js";

const DAY_MS = 86_400_000;
const NOTHING = { found: null, made: null, busy: "", error: "" };

/** Ask for the times that have passed, at first those of the last day. */
export function askForBackfill({ name }, now, actions) {
  actions.ask({ Body: Backfill, name, now, isWide: true });
}

function Backfill({ question, actions, close }) {
  const { name, now } = question;
  const [range, setRange] = useState({ from: secondOf(now - DAY_MS), to: secondOf(now) });
  const { state, begin, show, start } = useBackfill({ question, actions, range });
  const { found, made, busy, error } = state;
  const { client } = actions.api();
  const field = (end) => ({
    value: range[end],
    disabled: Boolean(busy),
    change: (moment) => {
      setRange({ ...range, [end]: moment });
      begin();
    },
  });
  return html`
    <${DialogBody}
      title="Backfill ${name}"
      verb=${verbOf(state)}
      keep=${made ? "Close" : "Cancel"}
      busy=${busy}
      error=${error}
      disabled=${found ? numbersOf(found.slots).fresh === 0 : !range.from || !range.to}
      confirm=${found ? start : show}
      close=${close}
    >
      ${
        made
          ? html`<${Made} slots=${made} client=${client} />`
          : html`
              <p>
                Start the runs of times that have passed. They are shown before anything starts.
              </p>
              <div class="range">
                <${MomentField} label="From" ...${field("from")} />
                <${MomentField} label="Before" ...${field("to")} />
              </div>
              ${found && html`<${Found} ...${found} client=${client} />`}
            `
      }
    <//>
  `;
}

/** How far the dialog is. `show` finds the times of a range, `start` starts these, `begin` forgets them. */
function useBackfill({ question, actions, range }) {
  const [state, setState] = useState(NOTHING);
  const { found } = state;
  const ask = (asked) => schedulesOf(actions.api()).backfill(question.name, asked);
  const begin = () => setState(NOTHING);
  const refuse = (wrong, kept) => {
    const said = errorText(wrong);
    if (actions.isAsked(question)) setState({ ...NOTHING, ...kept, error: said });
    else actions.note(said, true);
  };
  const show = async () => {
    setState({ ...NOTHING, busy: "Looking…" });
    try {
      setState({ ...NOTHING, found: await findTimes(ask, range.from, range.to) });
    } catch (wrong) {
      refuse(wrong);
    }
  };
  const start = async () => {
    let done = [];
    const tell = (slots) => {
      done = slots;
      setState({ ...state, busy: `${count(slots.length)} of ${count(found.slots.length)}`, error: "" });
    };
    tell(done);
    try {
      await startTimes(ask, found.slots, tell);
      setState({ ...NOTHING, made: done });
      if (!actions.isAsked(question)) actions.note(madeInWords(done));
    } catch (wrong) {
      wrong.message = `${madeInWords(done)} ${wrong.message}`;
      refuse(wrong, { found });
    }
    actions.refresh();
  };
  return { state, begin, show, start };
}

const secondOf = (at) => new Date(Math.floor(at / 1000) * 1000).toISOString();

function verbOf({ found, made }) {
  if (made) return "";
  return found ? `Start ${plural(numbersOf(found.slots).fresh, "run")}` : "Show the times";
}

function Found({ slots, rest, client }) {
  return html`
    <p role="status">${foundInWords(slots)}</p>
    ${rest && html`<p>There are more times, from ${fullTime(ms(rest))} on: they need another backfill.</p>`}
    <${Times} ...${{ slots, client, words: ["exists", "starts"] }} />
  `;
}

function foundInWords(slots) {
  if (!slots.length) return "The schedule has no time in this span.";
  const { fresh, existing } = numbersOf(slots);
  return `${plural(fresh, "run")} will be started${existing ? `, ${existsInWords(existing)}` : ""}.`;
}

const existsInWords = (number) =>
  number === 1 ? "1 exists and stays as it is" : `${count(number)} exist and stay as they are`;

// The button that was pressed is gone, so the result takes the focus.
function Made({ slots, client }) {
  const said = useRef();
  useLayoutEffect(() => said.current.focus(), []);
  return html`
    <p ref=${said} tabindex="-1" role="status">${madeInWords(slots)}</p>
    <${Times} ...${{ slots, client, words: ["existed", "started"] }} />
  `;
}

function madeInWords(slots) {
  const started = slots.filter(({ created }) => created).length;
  return `${plural(started, "run")} started, ${count(slots.length - started)} existed.`;
}

/** Times and what becomes of each: the first word where a run exists, else the second one. */
function Times({ slots, client, words: [existing, fresh] }) {
  if (!slots.length) return null;
  return html`
    <div class="slots" tabindex="0" role="region" aria-label="Times">
      <ul>
        ${slots.map((slot) => {
          const word = slot.created || !slot.runId ? fresh : existing;
          return html`<${Slot} key=${slot.scheduledAt} ...${{ slot, client, word }} />`;
        })}
      </ul>
    </div>
  `;
}

function Slot({ slot: { scheduledAt, runId }, client, word }) {
  return html`
    <li>
      <time datetime=${scheduledAt}>${fullTime(ms(scheduledAt))}</time>
      ${
        runId
          ? html`<a href=${linkTo({ client, page: "run", id: runId })}>${word}</a>`
          : html`<span>${word}</span>`
      }
    </li>
  `;
}
