// The time by the server's clock, in milliseconds since the epoch. In virtual time it may stand still, far
// from that of the browser.

let read = () => Date.now();

/** Let `now()` tell the time. */
export function setClock(now) {
  read = now;
}

export const serverNow = () => read();
