// The clients that this browser knows, and the API keys of this tab.

const LAST = "atomic.client";
const KNOWN = "atomic.clients";
const KNOWN_MAX = 20;

const keyPlace = (client) => `atomic.key.${client}`;

/** Where the recent searches of a client are kept. */
export const searchesPlace = (client) => `atomic.searches.${client}`;

/** The API key of a client; empty where this tab has none. */
export const keyOf = (client) => sessionStorage.getItem(keyPlace(client)) ?? "";

/** Keep the key for this tab, and open this client where an address names none. */
export function enter(client, key) {
  sessionStorage.setItem(keyPlace(client), key);
  localStorage.setItem(LAST, client);
}

/** The client that was entered last; null if there is none. */
export const lastClient = () => localStorage.getItem(LAST);

/** The clients whose runs this browser has shown, the last one first. */
export function knownClients() {
  try {
    return JSON.parse(localStorage.getItem(KNOWN)) ?? [];
  } catch {
    return [];
  }
}

export function know(client) {
  keepKnown([client, ...without(client)].slice(0, KNOWN_MAX));
}

/** Forget the key of a client, its recent searches, and that it is known. */
export function forget(client) {
  sessionStorage.removeItem(keyPlace(client));
  localStorage.removeItem(searchesPlace(client));
  if (lastClient() === client) localStorage.removeItem(LAST);
  keepKnown(without(client));
}

const without = (client) => knownClients().filter((each) => each !== client);
const keepKnown = (clients) => localStorage.setItem(KNOWN, JSON.stringify(clients));
