// What an operator does to the limits of a key of flow control: pin them, end the pin.

import { flowOf } from "../core/api-of-flow.js";
import { errorText } from "../core/format.js";
import { html, useState } from "../vendor/preact-htm.js";
import { DialogBody, useConfirm } from "./dialog.js";
import { Field } from "./fields.js";
import { isPinnable, isPinned } from "./flow-words.js";
import { Button } from "./widgets.js";

const SECOND_MS = 1000;
const ENDED = "The limits are those that steps ask for.";

/** The buttons that fit the key, if the key of the page may press them. */
export function FlowActs({ of, actions }) {
  if (!actions.may("act") || !isPinnable(of.key)) return null;
  const pin = () => actions.ask({ Body: Pin, of });
  return html`
    <div class="page-acts">
      <${Button} small onClick=${pin}>Pin…<//>
      ${isPinned(of) && html`<${Button} small onClick=${() => unpin(of, actions)}>Unpin<//>`}
    </div>
  `;
}

async function unpin({ key }, actions) {
  try {
    await flowOf(actions.api()).changeFlowKey(key, { concurrency: null, rate: null });
    actions.note(ENDED);
  } catch (error) {
    actions.note(errorText(error), true);
  }
  actions.refresh();
}

function Pin({ question, actions, close }) {
  const { key, pinned } = question.of;
  const [typed, setTyped] = useState({
    slots: textOf(pinned.concurrency),
    limit: textOf(pinned.rate?.limit),
    seconds: textOf(pinned.rate && pinned.rate.per / SECOND_MS),
  });
  const wrong = wrongIn(typed);
  const act = async () => {
    await flowOf(actions.api()).changeFlowKey(key, pinOf(typed));
    return isEmpty(typed) ? ENDED : "The limits are pinned.";
  };
  const { state, confirm } = useConfirm({ question, actions, act });
  const number = (name, label, least) => html`
    <${Field}
      type="number"
      min=${least}
      step=${name === "seconds" ? "any" : 1}
      label=${label}
      value=${typed[name]}
      onInput=${(event) => setTyped({ ...typed, [name]: event.target.value })}
    />
  `;
  const text = { ...state, error: state.error || wrong };
  return html`
    <${DialogBody}
      title="Pin the limits of this key?"
      verb="Pin"
      ...${text}
      disabled=${Boolean(wrong) || (isEmpty(typed) && !isPinned(question.of))}
      confirm=${confirm}
      close=${close}
    >
      <p>A pin of <code>${key}</code> is in force over what starts and steps ask for, until you end it.</p>
      <p>It counts for what is let in from now on. A field that is empty leaves what steps ask for.</p>
      <div class="pin-fields">
        ${number("slots", "At a time", 1)}
        ${number("limit", "Begin at most", 1)}
        ${number("seconds", "within seconds", 0.001)}
      </div>
    <//>
  `;
}

const textOf = (value) => (value === null || value === undefined ? "" : String(value));
const isEmpty = ({ slots, limit, seconds }) => !slots && !limit && !seconds;
const isWhole = (text) => /^[1-9][0-9]*$/.test(text);

/** What is wrong in the fields; the server says what else is. */
function wrongIn({ slots, limit, seconds }) {
  if (slots && !isWhole(slots)) return "At a time: use a whole number from 1 on.";
  if (limit && !isWhole(limit)) return "Begin at most: use a whole number from 1 on.";
  if (seconds && !(Number(seconds) * SECOND_MS >= 1)) return "Within seconds: use 0.001 or more.";
  if (Boolean(limit) !== Boolean(seconds))
    return "A rate needs both: how many begin, and in how many seconds.";
  return "";
}

function pinOf({ slots, limit, seconds }) {
  return {
    concurrency: slots ? Number(slots) : null,
    rate: limit ? { limit: Number(limit), per: Math.round(Number(seconds) * SECOND_MS) } : null,
  };
}
