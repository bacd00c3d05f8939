/** Counters of runs: which workflows there are, and what became of their runs, hour by hour. */

import { type Duration, milliseconds } from "./durations.ts";
import { Connection, type ConnectionOptions, documentOf } from "./http.ts";

/** What has become of runs until now. Durations are those of runs that succeeded, from start to end. */
export interface RunCounts {
  readonly started: number;
  readonly succeeded: number;
  readonly failed: number;
  readonly cancelled: number;
  /** Of all steps of the runs. Calls that follow a suspension are not among them. */
  readonly retries: number;
  /** Half of them took no longer, interpolated; null without any. */
  readonly durationMsP50: number | null;
  readonly durationMsP95: number | null;
  /** How many have not ended; of a workflow, of its runs of the last 31 days. */
  readonly live: number;
  /** Null: the runs of all further workflows. 200 an hour have counters of their own. */
  readonly workflowName: string | null;
}

/** The runs of a workflow that were started in one hour. */
export interface Counter extends RunCounts {
  /** When the hour began. */
  readonly hour: string;
  readonly durationMsSum: number;
  /** Null: now. On AWS, maintenance counts twice an hour. */
  readonly countedAt: string | null;
}

/** A workflow, and its runs that were started in the time that was asked for. */
export interface WorkflowCount extends RunCounts {
  readonly lastStartAt: string | null;
}

/** Which counters are listed. */
export interface CounterFilter {
  /** Hours from this moment's on (default: a day ago). They are kept for 31 days. */
  readonly since?: Date;
  /** Hours that began before this moment (default: now). */
  readonly before?: Date;
  readonly workflowName?: string;
  /** Sum up the hours of spans of this length: whole hours (default: an hour). */
  readonly every?: Duration;
  /** Sum up all workflows; `workflowName` of what is listed is null then. */
  readonly allWorkflows?: boolean;
}

/** The counters of a client. Every method rejects with an `AtomicError`, such as RefusedError for `not-found`. */
export class Counters {
  readonly #connection: Connection;

  /** Options that are left out come from the environment, as those of `Atomic`. */
  constructor(options: ConnectionOptions = {}) {
    this.#connection = new Connection(options);
  }

  /**
   * The workflows that were started in the last 31 days, by name. `since`: runs are counted from this
   * moment's hour on (default: this hour and the 23 before).
   */
  workflows({ since }: Pick<CounterFilter, "since"> = {}): Promise<WorkflowCount[]> {
    return this.#all("workflows", { from: since?.toISOString() });
  }

  /** Counters by hour (UTC) and workflow, the newest hour first. */
  list({ since, before, workflowName, every, allWorkflows }: CounterFilter = {}): Promise<Counter[]> {
    return this.#all("counters", {
      from: since?.toISOString(),
      to: before?.toISOString(),
      workflowName,
      every: every === undefined ? undefined : String(milliseconds("every", every)),
      allWorkflows: allWorkflows ? "true" : undefined,
    });
  }

  async #all<Item, Name extends string>(name: Name, given: Record<string, string | undefined>): Promise<Item[]> {
    const query = new URLSearchParams({ limit: "100" });
    for (const [member, value] of Object.entries(given)) {
      if (value !== undefined) {
        query.set(member, value);
      }
    }
    const found: Item[] = [];
    for (let path: string | null = `${this.#connection.path(name)}?${query}`; path !== null; ) {
      const page: Record<Name, Item[]> & { next: string | null } = await documentOf(this.#connection, {
        method: "GET",
        path,
      });
      found.push(...page[name]);
      path = page.next;
    }
    return found;
  }
}
