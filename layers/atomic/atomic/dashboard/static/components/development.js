// The bar of a server in development: its clock, what is due next, and the faults that it makes.

import { development } from "../core/api.js";
import { count, duration, errorText, fullTime, ms, plural } from "../core/format.js";
import { poll } from "../core/poll.js";
import { html } from "../vendor/preact-htm.js";
import { Select } from "./fields.js";
import { Button } from "./widgets.js";

const EVERY_MS = 1000;
const EVERY_MS_IN_REAL_TIME = 5000;
const PROFILES = ["calm", "flaky", "hostile"];

/** Ask the server again and again, and show what it says. */
export function develop(actions) {
  let everyMs = EVERY_MS;
  let said;
  let acting = 0;
  const show = ({ time, faults }) => {
    const at = ms(time.now);
    actions.develop({ Bar, time, faults, act }, time.virtual ? () => at : () => Date.now());
  };
  const ask = async (signal) => {
    const [time, faults] = await Promise.all([development.time(signal), development.faults(signal)]);
    // What was asked for before a change is done would undo the user's choice for a moment.
    if (signal.aborted || acting) return;
    everyMs = time.virtual ? EVERY_MS : EVERY_MS_IN_REAL_TIME;
    show((said = { time, faults }));
  };
  const polling = poll(
    ask,
    () => everyMs,
    () => {},
  );
  /** Make a change, and show what was chosen already while the server makes it. */
  const act = async (change, { time, faults } = {}) => {
    acting += 1;
    show((said = { time: { ...said.time, ...time }, faults: { ...said.faults, ...faults } }));
    try {
      await change();
    } catch (error) {
      actions.note(errorText(error), true);
    }
    acting -= 1;
    polling.now();
    actions.refresh();
  };
}

function Bar({ time, faults, act }) {
  return html`
    <section class="development" aria-label="Development">
      <${Clock} time=${time} act=${act} />
      <${Faults} faults=${faults} act=${act} />
    </section>
  `;
}

function Clock({ time: { virtual, now, nextDue, inFlight, auto }, act }) {
  if (!virtual) return html`<p class="soft">Real time; <code>--virtual-time</code> lets you move it</p>`;
  const move = () => act(() => development.moveTo(nextDue));
  const change = ({ target: { checked } }) =>
    act(() => development.moveByItself(checked), { time: { auto: checked } });
  return html`
    <p>
      <time class="virtual-now" datetime=${now}>${fullTime(ms(now))}</time>${" · "}
      <span class="soft">${inFlight ? `${count(inFlight)} in flight` : due(now, nextDue)}</span>
    </p>
    <${Button} small disabled=${!nextDue} title=${nextDue ? fullTime(ms(nextDue)) : ""} onClick=${move}>
      Advance to next
    <//>
    <label><input type="checkbox" checked=${auto} onChange=${change} />Moves by itself</label>
  `;
}

function due(now, nextDue) {
  if (!nextDue) return "nothing is due";
  const wait = ms(nextDue) - ms(now);
  return wait > 0 ? `next due in ${duration(wait)}` : "due now";
}

function Faults({ faults: { profile, seed, made }, act }) {
  const options = PROFILES.map((name) => [name, name]);
  if (!profile) options.unshift(["", "own probabilities"]);
  const happened = Object.entries(made).filter(([, number]) => number > 0);
  const all = happened.map(([name, number]) => `${name}: ${count(number)}`).join(", ");
  const sum = happened.reduce((before, [, number]) => before + number, 0);
  return html`
    <${Select}
      label="Faults"
      value=${profile ?? ""}
      options=${options}
      change=${(name) => name && act(() => development.makeFaults(name), { faults: { profile: name } })}
    />
    <p class="soft" title=${all}>${plural(sum, "fault")}, seed ${String(seed)}</p>
  `;
}
