/** Causes: why runs failed, how many for each reason, and which of them need no action. */

import type { RunSummary } from "./documents.ts";
import { Connection, type ConnectionOptions, documentOf } from "./http.ts";
import { writeJson } from "./json.ts";

/** What failures have in common, and how many there are. */
export interface Cause {
  /** For the filter `cause` of `Atomic.runs`. */
  readonly id: string;
  readonly workflowName: string;
  /** The step that failed, or the path of its URL if it has no name; null for a root. */
  readonly stepName: string | null;
  readonly errorKind: string | null;
  readonly errorType: string | null;
  /** What its endpoint answered last. */
  readonly responseStatus: number | null;
  /** The beginning of the error, with `#` for ids, numbers, times, addresses and quotations. */
  readonly text: string;
  readonly count: number;
  /** When the oldest and the newest of them were created. */
  readonly firstCreatedAt: string;
  readonly lastCreatedAt: string;
  /** The newest three: of failed runs, their roots. */
  readonly samples: readonly {
    readonly id: string;
    readonly runId: string;
    readonly idempotencyKey: string;
    readonly createdAt: string;
  }[];
}

/** Which failures are counted. */
export interface CauseFilter {
  /**
   * `open`: runs that need action (default). `dismissed`: those that were dismissed. `handled`: steps that failed while
   * their workflows went on.
   */
  readonly state?: "open" | "dismissed" | "handled";
  readonly workflowName?: string;
  /** How many causes at most (default 50, at most 100). */
  readonly limit?: number;
}

/** The causes, the most frequent first. */
export interface CauseList {
  readonly causes: readonly Cause[];
  /** There are more causes than `limit`. */
  readonly more: boolean;
  /** False: only the newest failures were counted, and the numbers are the least ones. */
  readonly isAll: boolean;
}

/** Why runs failed. Every method rejects with an `AtomicError`, such as RefusedError for `not-failed`. */
export class Causes {
  readonly #connection: Connection;

  /** Options that are left out come from the environment, as those of `Atomic`. */
  constructor(options: ConnectionOptions = {}) {
    this.#connection = new Connection(options);
  }

  /** Count failed runs by why they failed. Each run counts once. */
  list(filter: CauseFilter = {}): Promise<CauseList> {
    const query = new URLSearchParams({ ...filter } as object as Record<string, string>);
    return documentOf(this.#connection, { method: "GET", path: `${this.#connection.path("causes")}?${query}` });
  }

  /** Dismiss a failed run: it needs no action any more. A redrive of the run clears it. `note` is for people. */
  dismiss(runId: string, { note = "" }: { readonly note?: string } = {}): Promise<RunSummary> {
    return documentOf(this.#connection, { method: "POST", path: this.#path(runId), body: writeJson({ note }) });
  }

  /** Take the dismissal of a failed run back. */
  undismiss(runId: string): Promise<RunSummary> {
    return documentOf(this.#connection, { method: "DELETE", path: this.#path(runId) });
  }

  #path(runId: string): string {
    return this.#connection.path("runs", runId, "dismiss");
  }
}
