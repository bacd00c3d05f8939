/** What is done to runs that have ended, and to steps that have failed. */

import type { RunFilter } from "./client.ts";
import type { RunSummary } from "./documents.ts";
import { Connection, type ConnectionOptions, documentOf } from "./http.ts";
import { writeJson } from "./json.ts";

/** How a run is started again. */
export interface RestartOptions {
  /** In place of the payload of the run. The API key needs the scope `start` for it. */
  readonly payload?: unknown;
  /** The key of the new run (default: that of the run with a number, as in `k/2`, `k/3`). */
  readonly key?: string;
  /** The endpoint of the new run (default: the same), such as of a repaired deployment; it needs the scope `start`, too. */
  readonly url?: string;
}

/** A filter for dead letters. Times are RFC 3339. */
export type DeadLetterFilter = Omit<RunFilter, "status" | "waitsFor" | "tag"> & {
  /** A tag of the run of the step, as `name:value`, or several. */
  readonly tag?: string | readonly string[];
};

/** Which dead letters are redriven. At least one member is given. */
export type RedriveFilter = Pick<
  DeadLetterFilter,
  "workflowName" | "keyPrefix" | "createdAfter" | "createdBefore" | "tag"
>;

/** A step that has failed, which may be a root. */
export interface DeadLetter extends RunSummary {
  readonly responseStatus: number | null;
  /** Why it cannot be redriven; null when it can be. */
  readonly notRedrivableReason: "handled" | "cancelled" | null;
}

/** Runs that have ended, and steps that have failed. Every method rejects with an `AtomicError`, whose `code` says which. */
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
   * payload before, and `run-exists` for a key that is used, or when it was restarted at another URL before.
   */
  restart(runId: string, options: RestartOptions = {}): Promise<RunSummary> {
    const members = JSON.stringify({ key: options.key, url: options.url }).slice(1, -1);
    const payload = options.payload === undefined ? "" : `"payload":${writeJson(options.payload, "the payload")}`;
    return documentOf(this.#connection, {
      method: "POST",
      path: this.#connection.path("runs", runId, "restart"),
      body: `{${[members, payload].filter(Boolean)}}`,
    });
  }

  /** List steps that have failed, newest first. A filter that is left out selects all. */
  async deadLetters({ limit = 100, tag = [], ...wanted }: DeadLetterFilter = {}): Promise<DeadLetter[]> {
    const query = new URLSearchParams({ ...wanted, limit: Math.min(limit, 100) } as object as Record<string, string>);
    for (const each of [tag].flat()) {
      query.append("tag", each);
    }
    const found: DeadLetter[] = [];
    let path: string | null = `${this.#connection.path("dead-letters")}?${query}`;
    while (path !== null && found.length < limit) {
      const page: { deadLetters: DeadLetter[]; next: string | null } = await documentOf(this.#connection, {
        method: "GET",
        path,
      });
      found.push(...page.deadLetters);
      path = page.next;
    }
    return found.slice(0, limit);
  }

  /** Redrive every dead letter that fits; the ids of the steps. Those that no workflow needs any more are left out. */
  async redriveAll({ tag, ...wanted }: RedriveFilter): Promise<string[]> {
    const filter = { ...wanted, tag: tag === undefined ? tag : [tag].flat() };
    const path = this.#connection.path("redrive");
    const redriven: string[] = [];
    let page: { steps: string[]; more: boolean; next: string | null } = { steps: [], more: true, next: null };
    do {
      const body = JSON.stringify({ filter, cursor: page.next ?? undefined });
      page = await documentOf(this.#connection, { method: "POST", path, body });
      redriven.push(...page.steps);
    } while (page.more && (page.steps.length > 0 || page.next !== null));
    return redriven;
  }
}
