// What the keyboard does, and the zone in which times are shown.

import { html, useLayoutEffect, useRef } from "../vendor/preact-htm.js";
import { Button } from "./widgets.js";

const KEYS = [
  ["/ or Ctrl K, ⌘ K", "Go to the search field, from every page"],
  ["↓ ↑ or j k", "Move in a list, and between steps"],
  ["← → Home End", "Move between the bars of a chart; with Shift choose several, Enter shows their runs"],
  ["Enter", "Open a run; move from a step into its panel"],
  ["Esc", "Leave the panel, back to its step; leave the run, back to its row; close a dialog"],
  ["?", "Show this"],
];

/** Each key in a frame of its own; the words between them have none. */
const keysOf = (keys) =>
  keys.split(/( or |, | )/).map((part, at) => (at % 2 ? part : html`<kbd>${part}</kbd>`));

export function Help({ zone, actions }) {
  const element = useRef();
  useLayoutEffect(() => element.current.showModal(), []);
  return html`
    <dialog ref=${element} class="help" aria-labelledby="help-title" onClose=${actions.closeHelp}>
      <div class="dialog-body">
        <h2 id="help-title">Keyboard</h2>
        <dl class="facts narrow">
          ${KEYS.map(([keys, does]) => html`<dt>${keysOf(keys)}</dt><dd>${does}</dd>`)}
        </dl>
        <h2>Times</h2>
        <div class="zones" role="group" aria-label="Time zone">
          <${Zone} ...${{ name: "Local time", value: "", zone, actions }} />
          <${Zone} ...${{ name: "UTC", value: "UTC", zone, actions }} />
        </div>
        <div class="dialog-actions"><${Button} onClick=${actions.closeHelp}>Close<//></div>
      </div>
    </dialog>
  `;
}

function Zone({ name, value, zone, actions }) {
  const pressed = zone === value;
  return html`
    <button type="button" class="state" aria-pressed=${pressed} onClick=${() => actions.setZone(value)}>
      ${name}
    </button>
  `;
}
