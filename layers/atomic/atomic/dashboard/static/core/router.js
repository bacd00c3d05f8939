// The address holds the route with its filters, so that every view can be shared and reloaded:
// #/{client}/{page}/{id}?{filters}

const PAGES = new Set(["overview", "runs", "dead-letters"]);
const CLIENT = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/;

/** The route in the hash of an address; without a valid client id it is the sign-in page. */
export function parseRoute(hash) {
  const [path, search = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const [client = "", page = "runs", id = ""] = path.split("/").map(decode);
  const query = Object.fromEntries(new URLSearchParams(search));
  if (!CLIENT.test(client)) return { client: "", page: "sign-in", id: "", query };
  if (page === "runs" && id) return { client, page: "run", id, query };
  return { client, page: PAGES.has(page) ? page : "runs", id: "", query };
}

/** The hash of a route; empty filters are left out. */
export function linkTo({ client, page, id = "", query = {} }) {
  const path = [client, page === "run" ? "runs" : page, id]
    .filter(Boolean)
    .map(encodeURIComponent)
    .join("/");
  const given = Object.entries(query).filter(
    ([, value]) => value !== undefined && value !== null && value !== "",
  );
  return `#/${path}${given.length ? `?${new URLSearchParams(given)}` : ""}`;
}

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
