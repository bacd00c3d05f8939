// The address holds the route with its filters, so that every view can be shared and reloaded:
// #/{client}/{page}/{id}?{filters}

const PAGES = new Set(["overview", "runs", "problems", "waiting", "schedules", "flow", "start"]);
// The page of one of them has the same path, and its id.
const PAGE_OF_ONE = new Map([
  ["runs", "run"],
  ["problems", "problem"],
  ["workflows", "workflow"],
  ["schedules", "schedule"],
  ["flow", "flow-key"],
]);
const LIST_OF = new Map([...PAGE_OF_ONE].map(([list, one]) => [one, list]));
// Names that pages had before.
const FORMER = new Map([["dead-letters", "problems"]]);
// What may be given several times; it is a list.
const REPEATED = "tag";
const CLIENT = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/;

/** The route in the hash of an address; without a valid client id it is the sign-in page. */
export function parseRoute(hash) {
  const [path, search = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const [client = "", named = "runs", id = ""] = path.split("/").map(decode);
  const page = FORMER.get(named) ?? named;
  const given = new URLSearchParams(search);
  const query = Object.fromEntries(given);
  if (query[REPEATED]) query[REPEATED] = given.getAll(REPEATED);
  if (!CLIENT.test(client)) return { client: "", page: "sign-in", id: "", query };
  if (PAGE_OF_ONE.has(page) && id) return { client, page: PAGE_OF_ONE.get(page), id, query };
  return { client, page: PAGES.has(page) ? page : "runs", id: "", query };
}

/** The hash of a route; empty filters are left out. */
export function linkTo({ client, page, id = "", query = {} }) {
  const path = [client, listOf(page), id]
    .filter(Boolean)
    .map(encodeURIComponent)
    .join("/");
  const given = Object.entries(query)
    .flatMap(([name, value]) => [value].flat().map((each) => [name, each]))
    .filter(([, value]) => value !== undefined && value !== null && value !== "");
  return `#/${path}${given.length ? `?${new URLSearchParams(given)}` : ""}`;
}

/** The list that a page belongs to: of the page of a run, that of runs. */
export const listOf = (page) => LIST_OF.get(page) ?? page;

export function isClientId(text) {
  return CLIENT.test(text);
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return "";
  }
}
