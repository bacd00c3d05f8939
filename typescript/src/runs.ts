/** What is done to runs that have ended. */

import type { RunSummary } from "./documents.ts";
import { Connection, type ConnectionOptions, documentOf } from "./http.ts";
import { writeJson } from "./json.ts";

/** How a run is started again. */
export interface RestartOptions {
  /** In place of the payload of the run. The API key needs the scope `start` for it. */
  readonly payload?: unknown;
  /** The key of the new run (default: that of the run with a number, as in `k/2`, `k/3`). */
  readonly key?: string;
}

/** Runs that have ended. Every method rejects with an `AtomicError`, whose `code` says which. */
export class Runs {
  readonly #connection: Connection;

  /** Options that are left out come from the environment, as those of `Atomic`. */
  constructor(options: ConnectionOptions = {}) {
    this.#connection = new Connection(options);
  }

  /**
   * Start a run that has ended again, as another run; the same call again finds that one, whose `restartOf` is the run.
   *
   * Rejects with `run-live` for a run that has not ended, `payload-mismatch` when it was restarted with another
   * payload before, and `run-exists` for a key that is used.
   */
  restart(runId: string, options: RestartOptions = {}): Promise<RunSummary> {
    const members = JSON.stringify({ key: options.key }).slice(1, -1);
    const payload = options.payload === undefined ? "" : `"payload":${writeJson(options.payload, "the payload")}`;
    return documentOf(this.#connection, {
      method: "POST",
      path: this.#connection.path("runs", runId, "restart"),
      body: `{${[members, payload].filter(Boolean)}}`,
    });
  }
}
