// The number of runs with an open event, in the navigation.

import { count } from "../core/format.js";
import { poll } from "../core/poll.js";
import { html, useLayoutEffect, useState } from "../vendor/preact-htm.js";

// The server compares live runs for it, so it is seldom asked.
const EVERY_MS = 60_000;
const MOST = 50;

/** With another key it counts at once. */
export function WaitingCount({ actions }) {
  const [waiting, setWaiting] = useState({ runs: 0, isAll: true });
  useLayoutEffect(() => {
    const look = async (signal) => {
      const wanted = { waitsFor: "event", limit: MOST, progress: false };
      const { runs, next } = await actions.api().runs(wanted, signal);
      if (!signal.aborted) setWaiting({ runs: runs.length, isAll: !next });
    };
    const polling = poll(
      look,
      () => EVERY_MS,
      () => {},
    );
    return polling.stop;
  }, []);
  if (!waiting.runs) return null;
  return html`<span class="number" title="Runs with an open event">
    ${count(waiting.runs)}${!waiting.isAll && "+"}
  </span>`;
}
