// The search for runs: what somebody types as filters of the address, and these as text and for the API.

import { ERROR_KINDS, LIVE, STATUSES, WAITS_FOR } from "./enums.js";

const TOKEN = /(?:([a-z]+):)?(?:"((?:[^"\\]|\\.)*)"|(\S+))/g;
const ID = /^(run_[0-9a-f]{32})(-.+)?$/;
const TAG = /^([A-Za-z0-9][A-Za-z0-9._-]{0,63})[=:](.+)$/;
const HTTP_STATUS = /^[1-5]\d\d$/;
// What is typed like a tag, such as customer:cus_028.
const LIKE_TAG = /^([a-z][a-z0-9._-]*):([^/].*)$/;
const FLAGS = ["true", "false"];
const PAUSED = "paused";
const OPTIONS_MAX = 10;
/** What is said about a search that was made before. */
export const RECENT = "recent";

const oneOf = (values) => (value) => {
  const lower = value.toLowerCase();
  return values.includes(lower) ? lower : null;
};
// What can stand before a colon: what it finds, and how its value is read; null is no such value.
const FIELDS = {
  workflow: { about: "its name", read: (value) => value },
  status: { about: `${STATUSES.join(", ")}, ${PAUSED}`, read: oneOf(STATUSES) },
  waits: { about: WAITS_FOR.join(", "), read: oneOf(WAITS_FOR) },
  error: {
    about: "a status such as 503, or the kind of an error",
    read: (value) => (HTTP_STATUS.test(value) ? value : oneOf(ERROR_KINDS)(value)),
  },
  tag: { about: "name=value", read: (value) => value.match(TAG)?.slice(1).join(":") ?? null },
  cause: { about: "the id of a cause", read: (value) => value },
  dismissed: { about: "true or false", read: oneOf(FLAGS) },
};
// The fields that are offered by name; links have the others.
const OFFERED = ["workflow", "status", "waits", "error", "tag"];

// The names of the filters in the address. `search` is a text in the key, `tag` may be repeated.
const FILTERS = ["search", ...Object.keys(FIELDS)];
/** No filter at all. */
export const NO_FILTERS = Object.fromEntries(FILTERS.map((name) => [name, ""]));

const all = (value) => [value ?? []].flat().filter(Boolean);
const quoted = (value, where = /[\s"]/) =>
  where.test(value) ? `"${value.replace(/["\\]/g, "\\$&")}"` : value;
const written = (name, value) =>
  name === "search"
    ? quoted(value, /[\s":]/)
    : `${name}:${quoted(name === "tag" ? value.replace(":", "=") : value)}`;

/** The filters in force: `{name, value, text}`, with the text that one types for it. */
export function filtersOf(query) {
  return FILTERS.flatMap((name) =>
    all(query[name]).map((value) => ({ name, value, text: written(name, value) })),
  );
}

/** The filters in force as the text that sets them. */
export const textOf = (query) =>
  filtersOf(query)
    .map(({ text }) => text)
    .join(" ");

/**
 * What a text says: `{changes}` of the address, `{id}` of a run or step, or what is `wrong` with it.
 * `isNameQuoted`: the workflow's name is in quotes.
 */
export function read(text) {
  const id = text.trim().match(ID);
  if (id) return { id: { run: id[1], step: id[2] ? id[0] : "" } };
  const changes = {};
  let isNameQuoted = false;
  for (const [token, name, inQuotes, word] of text.matchAll(TOKEN)) {
    const isField = Object.hasOwn(FIELDS, name ?? "");
    const plain = inQuotes === undefined ? word : inQuotes.replace(/\\(.)/g, "$1");
    if (word?.endsWith(":") && Object.hasOwn(FIELDS, word.slice(0, -1)))
      return { wrong: `Type a value after “${word}”.` };
    if (!isField && changes.search !== undefined) return { wrong: "Search for one text at a time." };
    if (!isField) {
      changes.search = name ? token : plain;
      continue;
    }
    // A run that is paused has another status as well, and waits for a resume.
    const isPaused = name === "status" && plain.toLowerCase() === PAUSED;
    const field = isPaused ? "waits" : name;
    const value = isPaused ? "resume" : FIELDS[name].read(plain);
    if (value === null) return { wrong: `“${plain}” is no value of ${name}. Use ${FIELDS[name].about}.` };
    if (field !== "tag" && (changes[field] ?? value) !== value)
      return { wrong: `Search for one ${field} at a time. “${token}” is another one.` };
    changes[field] = field === "tag" ? [...(changes.tag ?? []), value] : value;
    if (field === "workflow" && inQuotes !== undefined) isNameQuoted = true;
  }
  const wrong = clashOf(changes);
  return wrong ? { wrong } : { changes, isNameQuoted };
}

/** Why no run can have all of what one text asks for; undefined if one can. */
function clashOf({ status, waits, cause, dismissed }) {
  const cure = "Search for one of both.";
  if ((cause || dismissed) && (waits || (status && status !== "failed")))
    return `Only failed runs have a cause or are dismissed. ${cure}`;
  if (waits && status === "retrying") return `A run that is retrying waits for a retry. ${cure}`;
  if (waits && status && !LIVE.includes(status)) return `A ${status} run waits for nothing. ${cure}`;
  return undefined;
}

/** Whether no other names have to be known to say which workflow is meant. */
export const isNameWhole = ({ changes: { workflow }, isNameQuoted }, known) =>
  !workflow || isNameQuoted || known.includes(workflow);

/**
 * What was read, with the whole name of the workflow where only a part of one is typed; `{wrong}` if
 * several names have that part. A name that is not known stays, and so does one in quotes.
 */
export function withWholeName(said, known) {
  const { changes } = said;
  if (isNameWhole(said, known)) return { changes };
  const part = changes.workflow;
  const names = namesWith(part, known);
  if (names.length > 1) {
    const cure = `Choose one of them, or write workflow:"${part}" for one of this name.`;
    return { wrong: `${names.length} workflows have “${part}” in their name. ${cure}` };
  }
  return { changes: names.length ? { ...changes, workflow: names[0] } : changes };
}

/** The names that have this part, in upper or lower case. */
export const namesWith = (part, names) =>
  names.filter((name) => name.toLowerCase().includes(part.toLowerCase()));

/** The query with these changes, and without the filters that exclude them. */
export function changed(query, changes) {
  const tag = changes.tag && [...new Set([...all(query.tag), ...all(changes.tag)])];
  const after = { ...query, ...changes, ...(tag ? { tag } : {}) };
  const { status, waits } = changes;
  const ofFailed = changes.cause || changes.dismissed;
  if (status === "retrying" || (status && !LIVE.includes(status)) || ofFailed) after.waits = "";
  if ((status && status !== "failed") || waits) after.cause = after.dismissed = "";
  if (waits && (after.status === "retrying" || !LIVE.includes(after.status))) after.status = "";
  if (ofFailed && after.status !== "failed") after.status = "";
  return after;
}

/** The query without one of its filters. */
export function without(query, { name, value }) {
  return { ...query, [name]: all(query[name]).filter((each) => each !== value) };
}

/** The filters for the API. A run is retrying if one of its steps is, whatever its own state. */
export function wantedOf({ status, waits, error, search, workflow, tag, cause, dismissed }) {
  const isRetrying = status === "retrying" && !waits;
  return {
    status: isRetrying ? undefined : status,
    waitsFor: isRetrying ? "retry" : waits,
    workflowName: workflow,
    keyContains: search,
    tag: all(tag),
    [HTTP_STATUS.test(error) ? "responseStatus" : "errorKind"]: error,
    cause,
    dismissed,
  };
}

/**
 * What may be meant by a text: `{text, label, about}`. `text` replaces what is typed; where it ends with a
 * colon, more is to be typed. `known` has `workflows`, `tags` (`name:value`) and `recent` searches.
 */
export function suggestionsOf(text, known) {
  if (read(text).id) return [{ text, label: `Open ${text.trim()}`, about: "" }];
  const open = text.match(/(?:[a-z]+:)?"[^"]*$|\S*$/)[0];
  const lead = text.slice(0, text.length - open.length);
  const [, name, rest] = open.match(/^(?:([a-z]+):)?"?(.*)$/s);
  const isField = OFFERED.includes(name);
  const wanted = (isField ? rest : open).toLowerCase();
  const found = [];
  const offer = (field, values, about) => {
    if (isField ? field !== name : !open) return;
    for (const value of values) {
      const label = written(field, value);
      const said = field === "tag" ? value.replace(":", "=") : value;
      if (said.toLowerCase().includes(wanted)) found.push({ text: lead + label, label, about });
    }
  };
  if (open && !isField) {
    const label = `Key contains “${open}”`;
    found.push({ text: lead + written("search", open), label, about: "" });
    const like = open.match(LIKE_TAG);
    const tag = like && written("tag", like.slice(1).join(":"));
    if (tag) found.push({ text: lead + tag, label: tag, about: "tag" });
  }
  if (!text) found.push(...known.recent.map((each) => ({ text: each, label: each, about: RECENT })));
  offer("workflow", known.workflows, "workflow");
  offer("status", STATUSES, "status");
  offer("waits", WAITS_FOR, "live runs that wait for it");
  offer("tag", known.tags, "tag");
  offer("error", ERROR_KINDS, "kind of error");
  if (!isField) {
    const fields = OFFERED.filter((each) => each.startsWith(open));
    found.push(
      ...fields.map((each) => ({ text: `${lead}${each}:`, label: `${each}:`, about: FIELDS[each].about })),
    );
  }
  return found.slice(0, OPTIONS_MAX);
}
