/** Counters of runs: which workflows there are, and what became of their runs, by the hour or the minute. */

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
  /** Half of them took no longer; null without any. It is exact, or wrong by less than half of it. */
  readonly durationMsP50: number | null;
  readonly durationMsP95: number | null;
  /** How many have not ended; of a workflow, of its runs of the last 31 days. */
  readonly live: number;
  /** Null: the runs of all further workflows. 200 an hour have counters of their own. */
  readonly workflowName: string | null;
}

/** The runs of a workflow that were started in one span, such as an hour. */
export interface Counter extends RunCounts {
  /** When the span began. */
  readonly beganAt: string;
  /** How long the span is, in milliseconds: as asked for, or an hour where minutes are not kept. */
  readonly spanMs: number;
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
  /** Spans from this moment's on (default: a day ago; for minutes, 7 hours before this one). They are kept for 31 days. */
  readonly since?: Date;
  /** Spans that began before this moment (default: now). */
  readonly before?: Date;
  readonly workflowName?: string;
  /**
   * The length of a span: whole hours, or minutes that divide an hour (default: an hour). Minutes are kept for
   * this hour and the 7 before, and not on AWS.
   */
  readonly every?: Duration;
  /** Sum up all workflows; `workflowName` of what is listed is null then. */
  readonly allWorkflows?: boolean;
}

/** An origin that a client calls: how it has answered in the last minutes, and how it is approached now. */
export interface EndpointHealth {
  /** Scheme, host and port; null: all further ones together. */
  readonly origin: string | null;
  readonly attempts: number;
  readonly failed: number;
  /** Half of the attempts took no longer; null without any. As near as that of counters. */
  readonly durationMsP50: number | null;
  readonly durationMsP95: number | null;
  /** Without handlers that wait for their own steps; null where the server keeps the limit fixed. */
  readonly underWay: number | null;
  /** How many may be under way at once now; null for any number. */
  readonly limit: number | null;
  /** Whether it gets fewer at once, since it seemed overloaded. */
  readonly slowed: boolean;
  /** How many steps wait for another attempt to end. */
  readonly waiting: number;
  /** No attempt begins within this time (milliseconds). */
  readonly rests: number;
}

/** A limit of a client, and what is used of it; null where there is none, and where it is not known. */
export interface Usage {
  readonly limit: number | null;
  readonly used: number | null;
  readonly countedAt: string | null;
}

/** The limits of a client, which its operator sets. */
export interface Limits {
  readonly startsPerSecond: Usage;
  readonly liveSteps: Usage;
  readonly storedBytes: Usage;
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
   * moment on (default: this hour and the 23 before), rounded down to a minute within this hour and the 7
   * before, else, and on AWS, to an hour.
   */
  workflows({ since }: Pick<CounterFilter, "since"> = {}): Promise<WorkflowCount[]> {
    return this.#all("workflows", { from: since?.toISOString() });
  }

  /** Counters by hour or minutes (UTC) and workflow, the newest first. */
  list({ since, before, workflowName, every, allWorkflows }: CounterFilter = {}): Promise<Counter[]> {
    return this.#all("counters", {
      from: since?.toISOString(),
      to: before?.toISOString(),
      workflowName,
      every: every === undefined ? undefined : String(milliseconds("every", every)),
      allWorkflows: allWorkflows ? "true" : undefined,
    });
  }

  /** The origins that were called in the last 15 minutes, the one that failed most first. Not on AWS. */
  async endpoints(): Promise<EndpointHealth[]> {
    const path = this.#connection.path("endpoints");
    const found: { endpoints: EndpointHealth[] } = await documentOf(this.#connection, { method: "GET", path });
    return found.endpoints;
  }

  /** The limits of the client, and what is used of them. */
  limits(): Promise<Limits> {
    return documentOf(this.#connection, { method: "GET", path: this.#connection.path("limits") });
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
