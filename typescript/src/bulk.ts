/** Bulks: the same act on all runs that fit a filter. */

import type { RunFilter } from "./client.ts";
import type { RunSummary, Status } from "./documents.ts";
import { Connection, type ConnectionOptions, documentOf } from "./http.ts";

/** What is done to each run. `erase` needs a key with the scope `admin`. */
export type BulkAction = "cancel" | "redrive" | "dismiss" | "pause" | "resume" | "due" | "restart" | "erase";

/** Which runs: at least one condition, and all that are given must hold. */
export interface BulkFilter extends Omit<RunFilter, "limit" | "tag"> {
  /** A tag that the runs have, as `name:value`, or several tags. */
  readonly tag?: string | readonly string[];
}

/** How many runs a bulk would concern. */
export interface BulkCount {
  readonly do: BulkAction;
  readonly runs: number;
  /** False: there are at least so many. */
  readonly isAll: boolean;
  /** The newest of them. */
  readonly sample: readonly RunSummary[];
}

/** A bulk, and how far it is. */
export interface BulkDocument {
  /** Of the run that does it, which can be paused and cancelled as every run. */
  readonly runId: string;
  readonly do: BulkAction;
  readonly filter: Readonly<Record<string, unknown>>;
  readonly note: string;
  readonly status: Status;
  /** How many runs fitted when it began; null before. */
  readonly runs: number | null;
  readonly isAll: boolean | null;
  readonly done: number;
  /** Runs that it did not concern any more, or not yet when it began. */
  readonly skipped: number;
  readonly refused: number;
  /** The first of the refused runs. */
  readonly refusals: readonly { readonly runId: string; readonly reason: string }[];
  readonly error: string | null;
  readonly createdAt: string;
  readonly finishedAt: string | null;
}

/** Options of a bulk. */
export interface BulkOptions {
  /** Why, for people: the note of each pause or dismissal. */
  readonly note?: string;
  /** A second start with the same key finds the first one (default: each start begins one). */
  readonly key?: string;
}

/** The bulks of a client. Every method rejects with an `AtomicError`, such as RefusedError for `not-found`. */
export class Bulk {
  readonly #connection: Connection;

  /** Options that are left out come from the environment, as those of `Atomic`. */
  constructor(options: ConnectionOptions = {}) {
    this.#connection = new Connection(options);
  }

  /** How many runs it would concern now, and the newest of them. Nothing is done. */
  count(action: BulkAction, filter: BulkFilter): Promise<BulkCount> {
    return this.#post({ do: action, filter: wire(filter), dryRun: true });
  }

  /** Begin a bulk. It goes on by itself, and concerns runs as they are now. */
  start(action: BulkAction, filter: BulkFilter, { note, key }: BulkOptions = {}): Promise<BulkDocument> {
    const headers = { "idempotency-key": key ?? crypto.randomUUID() };
    return this.#post({ do: action, filter: wire(filter), note }, headers);
  }

  /** How far a bulk is. */
  get(runId: string): Promise<BulkDocument> {
    return documentOf(this.#connection, { method: "GET", path: this.#connection.path("bulk", runId) });
  }

  #post<Document>(document: object, headers: Record<string, string> = {}): Promise<Document> {
    const body = JSON.stringify(document);
    return documentOf(this.#connection, { method: "POST", path: this.#connection.path("bulk"), body, headers });
  }
}

function wire({ tag, ...others }: BulkFilter): object {
  return tag === undefined ? others : { ...others, tag: [tag].flat() };
}
