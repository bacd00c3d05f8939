// Filters of lists. They are kept in the address, and typed text is added to it after a short pause.

import { STATUSES } from "../core/enums.js";
import { visible } from "../core/format.js";
import { instantOf, toType, typedClock, typedInstant } from "../core/typed-times.js";
import { html, useLayoutEffect, useState } from "../vendor/preact-htm.js";
import { Field, Select } from "./fields.js";
import { Icon } from "./icons.js";

const REST_MS = 250;
const STATES = ["", ...STATUSES];
export const PERIODS = [
  ["", "any time"],
  ["15m", "last 15 minutes", 15 * 60e3],
  ["1h", "last hour", 3600e3],
  ["24h", "last 24 hours", 24 * 3600e3],
  ["7d", "last 7 days", 7 * 24 * 3600e3],
  ["custom", "from … to …"],
];

/**
 * The API's time filters for a query of the address; "last …" periods are computed at each call. There is
 * no member without a time, though a period may be chosen.
 */
export function periodOf({ period, from, to }, now) {
  const since = PERIODS.find(([name]) => name === period)?.[2];
  if (since) return { createdAfter: new Date(now - since).toISOString() };
  if (period !== "custom") return {};
  const times = { createdAfter: instantOf(from), createdBefore: instantOf(to) };
  return Object.fromEntries(Object.entries(times).filter(([, time]) => time));
}

/** Whether any of the filters is set. */
export const isFiltered = (query, names) => names.some((name) => query[name]);

/** Clears the filters, and text in fields under `key` that is not applied yet: `{key, clear}`. */
export function useClear(names, change) {
  const [key, setKey] = useState(0);
  const clear = () => {
    setKey(key + 1);
    change(Object.fromEntries(names.map((name) => [name, ""])));
  };
  return { key, clear };
}

/** The form around the filters of a view. */
export function Filters({ children }) {
  const stay = (event) => event.preventDefault();
  return html`<form class="filters" role="search" onSubmit=${stay}>${children}</form>`;
}

/** The period's controls. The address has instants, so a link means the same in each time zone. */
export function PeriodFilter({ label, query, change }) {
  const [from, to] = [instantOf(query.from), instantOf(query.to)];
  const moment = (name) => ({
    value: query[name],
    change: (value) => change({ [name]: value }),
  });
  return html`
    <${Select}
      label=${label}
      value=${query.period ?? ""}
      options=${PERIODS}
      change=${(period) => change({ period, from: "", to: "" })}
    />
    ${
      query.period === "custom" &&
      html`
        <${MomentField} label="From" ...${moment("from")} />
        <${MomentField} label="To" ...${moment("to")} />
        ${from > to && html`<span class="error-text" role="alert">From is later than To.</span>`}
      `
    }
  `;
}

/** A field for an instant, which is typed by the clock that the label names; empty if it is none. */
export function MomentField({ label, value, change, ...props }) {
  const typed = ({ target }) => change(typedInstant(target.value) ?? "");
  return html`
    <${Field}
      label="${label} (${typedClock()})"
      type="datetime-local"
      step="1"
      value=${toType(value)}
      onChange=${typed}
      ...${props}
    />
    ${
      value &&
      !instantOf(value) &&
      html`<span class="error-text" role="alert">${label}: “${visible(value)}” is not a time.</span>`
    }
  `;
}

/** A text field that calls `change` after a pause in typing. */
export function TextFilter({ value = "", change, ...props }) {
  return html`<${Field} type="text" ...${props} ...${useTyped(value, change)} />`;
}

/** The states as buttons, one of which is pressed. */
export function StatusFilter({ chosen = "", change }) {
  return html`
    <div class="states" role="group" aria-label="Status">
      ${STATES.map(
        (state) => html`
          <button
            type="button"
            class="state"
            aria-pressed=${chosen === state}
            onClick=${() => change({ status: state })}
          >
            ${state ? [html`<${Icon} name=${state} />`, state] : "all"}
          </button>
        `,
      )}
    </div>
  `;
}

/** The props of a text field. `value` is the applied text; typed text is passed to `hand` after a pause. */
function useTyped(value, hand) {
  const [typed, setTyped] = useState({ text: value, over: value });
  // Typed text is dropped when the applied value changes by a link or by going back.
  if (typed.over !== value) setTyped({ text: value, over: value });
  const { text } = typed;
  const meant = text.trim();
  // In the same turn as the key. Later, the timer could pass on text that is not in the field any more.
  useLayoutEffect(() => {
    if (text === value || meant === value) return undefined;
    const rest = setTimeout(() => {
      setTyped({ text, over: meant });
      hand(meant);
    }, REST_MS);
    return () => clearTimeout(rest);
  }, [text, value]);
  return { value: text, onInput: (event) => setTyped({ text: event.target.value, over: value }) };
}
