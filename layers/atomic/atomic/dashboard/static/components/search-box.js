// The search field of the list of runs: what is typed, suggestions for it, and the filters in force.

import { searchesPlace } from "../core/clients.js";
import { errorText, visible } from "../core/format.js";
import {
  changed,
  filtersOf,
  isNameWhole,
  NO_FILTERS,
  read,
  RECENT,
  suggestionsOf,
  textOf,
  withWholeName,
  without,
} from "../core/search.js";
import { html, useLayoutEffect, useRef, useState } from "../vendor/preact-htm.js";
import { Icon } from "./icons.js";
import { Button } from "./widgets.js";

const RECENT_MAX = 6;
const NOTHING = { text: "", wrong: "", note: "" };
const NOT_SEARCHED = "Not searched yet: press Enter.";
const PLACEHOLDER = "Key or id, or workflow:…  status:…  error:…  tag:…";

/**
 * `apply(query)` sets the filters, `open(id)` shows a run or step; `names()` reads the names of
 * workflows. `runs` are those on the page: their tags are suggested.
 */
export function SearchBox(given) {
  const { typed, list, options, type, begin, end, choose, pressed } = useSearch(given);
  return html`
    <div class="search-box">
      <label class="unseen" for="search">Search runs</label>
      <${Icon} name="search" />
      <input
        id="search"
        type="text"
        role="combobox"
        aria-expanded=${options.length > 0}
        aria-controls="suggestions"
        aria-autocomplete="list"
        aria-activedescendant=${list.at < 0 ? undefined : `suggestion-${list.at}`}
        aria-describedby="search-note"
        aria-invalid=${typed.wrong ? "true" : undefined}
        aria-keyshortcuts="/ Control+K Meta+K"
        placeholder=${PLACEHOLDER}
        autocomplete="off"
        autocapitalize="none"
        spellcheck=${false}
        enterkeyhint="search"
        value=${typed.text}
        onInput=${(event) => type(event.target.value)}
        onKeyDown=${pressed}
        onFocus=${begin}
        onBlur=${end}
      />
      <${Options} options=${options} at=${list.at} choose=${choose} />
      <p id="search-note" class=${typed.wrong ? "error-text" : "soft"} aria-live="polite">
        ${visible(typed.wrong) || typed.note || (typed.text && !list.isOpen ? NOT_SEARCHED : "")}
      </p>
    </div>
  `;
}

// What is typed is no filter before Enter, so nothing of it reaches another page.
function useSearch({ client, query, runs, apply, open, names }) {
  const [typed, setTyped] = useState(NOTHING);
  const [list, setList] = useState({ isOpen: false, at: -1 });
  const { workflows, lookUp } = useNames(names);
  const entered = useEntered(query);
  const known = knownOf(client, runs, workflows);
  const options = list.isOpen ? suggestionsOf(typed.text, known) : [];
  const end = () => setList({ isOpen: false, at: -1 });
  const type = (text) => {
    entered.begin();
    setTyped({ ...NOTHING, text });
    setList({ isOpen: true, at: -1 });
  };
  const set = async (text, isRecent) => {
    const isCurrent = entered.begin();
    const said = read(text);
    if (said.id) return void open(said.id);
    // A recent search has the whole name that was searched for, whichever names have that part today.
    const isWhole = said.wrong || isRecent || isNameWhole(said, known.workflows);
    let found = said;
    if (!isWhole) {
      setTyped({ ...NOTHING, text, note: "Looking up names…" });
      end();
      found = await lookUp().then(
        (all) => withWholeName(said, knownOf(client, runs, all).workflows),
        namesUnread,
      );
      if (!isCurrent()) return;
      // The field offers the names again that have the part.
      if (found.wrong) setList({ isOpen: document.activeElement?.id === "search", at: -1 });
    }
    if (found.wrong) return void setTyped({ ...NOTHING, text, wrong: found.wrong });
    const after = changed(isRecent ? NO_FILTERS : entered.query(), found.changes);
    setTyped(NOTHING);
    end();
    if (textOf(after)) remember(client, textOf(after));
    apply(after);
  };
  // A recent search is a whole one, so nothing of the present one is kept.
  const choose = ({ text, about }) =>
    text.endsWith(":") ? type(text) : set(text, about === RECENT);
  const acts = { end, choose, set };
  const pressed = keysOf({ typed, options, list, setList, setTyped, query, apply, entered, ...acts });
  const begin = () => {
    setList({ isOpen: true, at: -1 });
    // Suggestions are not needed, so what fails is told only to a search that needs the names.
    lookUp().catch(() => {});
  };
  return { typed, list, options, type, begin, end, choose, pressed };
}

/** What keys do in the field: the handler of its key presses. */
function keysOf({ typed, options, list, setList, setTyped, query, apply, entered, end, choose, set }) {
  const move = (step) => {
    const places = options.length + 1;
    // The place before the first option is the field itself.
    setList({ isOpen: true, at: ((list.at + 1 + step + places) % places) - 1 });
  };
  const removeLast = () => {
    const last = filtersOf(query).at(-1);
    if (last) apply(without(query, last));
  };
  const keys = {
    ArrowDown: () => move(1),
    ArrowUp: () => move(-1),
    Enter: () => (options[list.at] ? choose(options[list.at]) : set(typed.text.trim())),
    // First the suggestions go, then the text, then the focus: after that, keys move in the list.
    Escape: (field) => {
      if (!options.length && !typed.text) field.blur();
      if (!options.length) setTyped(NOTHING);
      entered.begin();
      end();
    },
    Backspace: typed.text ? null : removeLast,
  };
  return (event) => {
    if (!keys[event.key] || event.isComposing) return;
    event.preventDefault();
    keys[event.key](event.currentTarget);
  };
}

const namesUnread = (error) => ({
  wrong: `The names of workflows cannot be read: ${errorText(error)} Write a whole name in quotes.`,
});

/** The names of all workflows, read once; what failed is asked for again. */
function useNames(names) {
  const [workflows, setWorkflows] = useState([]);
  const asked = useRef(null);
  const ask = async () => {
    try {
      const read = await names();
      setWorkflows(read);
      return read;
    } catch (error) {
      asked.current = null;
      throw error;
    }
  };
  const lookUp = () => (asked.current ??= ask());
  return { workflows, lookUp };
}

/** Which search was entered last: one that waits for names gives way to a newer one and to another page. */
function useEntered(query) {
  const last = useRef({ number: 0 });
  last.current.query = query;
  const begin = () => {
    const mine = ++last.current.number;
    return () => mine === last.current.number;
  };
  useLayoutEffect(() => () => void begin(), []);
  return { begin, query: () => last.current.query };
}

function Options({ options, at, choose }) {
  // A press would take the focus from the field, and close the list before the click.
  const stay = (event) => event.preventDefault();
  return html`
    <ul id="suggestions" role="listbox" aria-label="Suggestions" hidden=${!options.length}>
      ${options.map((option, index) => {
        return html`
          <li
            key=${option.text}
            id="suggestion-${index}"
            role="option"
            aria-selected=${index === at}
            onPointerDown=${stay}
            onClick=${() => choose(option)}
          >
            <span class="option-label">${visible(option.label)}</span>
            <span class="soft">${option.about}</span>
          </li>
        `;
      })}
    </ul>
  `;
}

/** The filters in force as chips, each of which can be removed; `clear()` removes all. */
export function Chips({ query, apply, clear }) {
  const filters = filtersOf(query);
  if (!filters.length && !query.period) return null;
  return html`
    <ul class="chips" aria-label="Filters in force">
      ${filters.map(
        (each) => html`
          <li key=${each.text} class="filter-chip">
            <bdi>${visible(each.name === "search" ? `key contains ${each.value}` : each.text)}</bdi>
            <button
              type="button"
              aria-label="Remove ${visible(each.text)}"
              onClick=${() => apply(without(query, each))}
            >
              <${Icon} name="close" />
            </button>
          </li>
        `,
      )}
      <li><${Button} small onClick=${clear}>Clear filters<//></li>
    </ul>
  `;
}

function recentOf(client) {
  try {
    return (JSON.parse(localStorage.getItem(searchesPlace(client))) ?? []).filter(Boolean);
  } catch {
    return [];
  }
}

function remember(client, text) {
  const others = recentOf(client).filter((each) => each !== text);
  localStorage.setItem(searchesPlace(client), JSON.stringify([text, ...others].slice(0, RECENT_MAX)));
}

function knownOf(client, runs, workflows) {
  const distinct = (values) => [...new Set(values)].sort();
  return {
    workflows: distinct([...workflows, ...runs.map((run) => run.workflowName)]),
    tags: distinct(
      runs.flatMap(({ tags = {} }) => Object.entries(tags).map(([name, value]) => `${name}:${value}`)),
    ),
    recent: recentOf(client),
  };
}
