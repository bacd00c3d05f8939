/** Schedules: workflows that Atomic starts by itself, at times that `cron`, `every` or `at` give. */

import type { Call } from "./call.ts";
import { type RetryPolicy, type RunHooks, type StepOptions, stepMembers, type WorkflowReference } from "./client.ts";
import type { CoreContext } from "./core_context.ts";
import type { Status } from "./documents.ts";
import { type Duration, milliseconds } from "./durations.ts";
import type { Endpoint } from "./endpoints.ts";
import { RefusedError } from "./errors.ts";
import { type ApiRequest, Connection, type ConnectionOptions, documentOf, read } from "./http.ts";
import { writeJson } from "./json.ts";

/** What all schedules have. */
export interface SchedulePolicy {
  /** What a time does while the run before goes on, also when it is suspended (default `skip`). */
  readonly overlap?: "skip" | "allow" | "queue" | "cancel";
  /** Which times are started that passed more than a minute ago, such as after an outage (default `last`). */
  readonly catchUp?: "last" | "all" | "none";
  /** None that passed longer ago than this (default a day). */
  readonly catchUpWindow?: Duration;
  /** Runs start up to so much later, each schedule by an amount of its own (default 0). */
  readonly spread?: Duration;
  /** No run after this moment. */
  readonly until?: Date;
  /** So many runs in all. */
  readonly limit?: number;
  /** So many failed runs in a row pause the schedule. */
  readonly pauseAfterFailures?: number;
  /** A text for people. */
  readonly note?: string;
}

/** When a schedule starts runs: what `cron`, `every` and `at` give. */
export interface Times {
  /** The members of the request. */
  readonly members: Readonly<Record<string, unknown>>;
}

/**
 * Times of one or several cron expressions of five fields (minute, hour, day of the month, month, day of the week), such
 * as `0 9 * * 1-5`, or names such as `@daily`. `tz` is an IANA name (default `UTC`). When clocks are set, each time has
 * one run (`once`, the default), or is read literally.
 */
export function cron(
  expressions: string | readonly string[],
  {
    tz = "UTC",
    dst = "once",
    ...policy
  }: SchedulePolicy & { readonly tz?: string; readonly dst?: "once" | "literal" } = {},
): Times {
  return { members: { cron: expressions, timeZone: tz, dst, ...members(policy) } };
}

/** Times at a fixed distance of a second at least, counted from 1970 and `phase` on. */
export function every(
  period: Duration,
  { phase = 0, ...policy }: SchedulePolicy & { readonly phase?: Duration } = {},
): Times {
  return {
    members: { every: milliseconds("period", period), phase: milliseconds("phase", phase), ...members(policy) },
  };
}

/** Certain moments. */
export function at(moments: Date | readonly Date[], policy: SchedulePolicy = {}): Times {
  const all = moments instanceof Date ? [moments] : moments;
  return { members: { at: all.map((each) => each.toISOString()), ...members(policy) } };
}

function members({ catchUp, catchUpWindow, spread, until, ...rest }: SchedulePolicy): Record<string, unknown> {
  return {
    ...rest,
    ...(spread === undefined ? {} : { spread: milliseconds("spread", spread) }),
    ...(until === undefined ? {} : { until: until.toISOString() }),
    catchUp: {
      ...(catchUp === undefined ? {} : { policy: catchUp }),
      ...(catchUpWindow === undefined ? {} : { window: milliseconds("catchUpWindow", catchUpWindow) }),
    },
  };
}

/**
 * The time of the schedule that started this run, of the context of its workflow; undefined when none did. Of a run that
 * was triggered, it is the moment of that.
 */
export function scheduledAt(of: CoreContext | Call): Date | undefined {
  return timeOf(of, "atomic-scheduled-at");
}

/** The time of the schedule's run before this one; undefined for the first. */
export function lastScheduledAt(of: CoreContext | Call): Date | undefined {
  return timeOf(of, "atomic-last-scheduled-at");
}

function timeOf(of: CoreContext | Call, header: string): Date | undefined {
  const { headers } = "calls" in of ? of.calls.call : of;
  const time = headers.get(header);
  return time === null ? undefined : new Date(time);
}

/** A schedule of a workflow, which `applySchedules` puts. */
export interface Declared {
  readonly name: string;
  /** Put it, for a workflow that is served below `url`. */
  readonly put: (schedules: Schedules, url: string, dryRun: boolean) => Promise<ScheduleDocument>;
}

/** Declare a schedule beside its workflow; its name is that of the workflow, unless it is given. It puts nothing. */
export function schedule<Input>(
  workflow: Pick<Endpoint<Input, unknown>, "name" | "at">,
  times: Times,
  payload: Input,
  { name = workflow.name, ...options }: Omit<PutOptions, "version" | "dryRun"> & { readonly name?: string } = {},
): Declared {
  return {
    name,
    put: (schedules, url, dryRun) => schedules.put(name, times, workflow.at(url), payload, { ...options, dryRun }),
  };
}

/**
 * Put what is declared, for workflows that are served below `url`. Call it in each deployment, and never in a request:
 * an old worker would undo a newer deployment. It may be repeated. A schedule that is not declared any more stays.
 */
export async function applySchedules(
  schedules: Schedules,
  url: string,
  declared: readonly Declared[],
  { dryRun = false }: { readonly dryRun?: boolean } = {},
): Promise<ScheduleDocument[]> {
  const twice = declared.find(({ name }, at) => declared.findIndex((other) => other.name === name) < at);
  if (twice !== undefined) {
    throw new RefusedError("invalid-request", `name: two schedules are named '${twice.name}'; name one of them.`, 400);
  }
  const put: ScheduleDocument[] = [];
  for (const each of declared) {
    put.push(await each.put(schedules, url, dryRun));
  }
  return put;
}

/** A schedule as it stands. Durations are milliseconds, moments RFC 3339. */
export interface ScheduleDocument {
  readonly name: string;
  /** Counts writes. */
  readonly version: number;
  readonly cron: readonly string[] | null;
  readonly every: number | null;
  readonly phase: number;
  readonly at: readonly string[] | null;
  readonly timeZone: string;
  readonly dst: "once" | "literal";
  readonly start: {
    readonly workflowName: string;
    readonly stepInvokeUrl: string;
    readonly payload: unknown;
    readonly retry: RetryPolicy;
  };
  readonly overlap: "skip" | "allow" | "queue" | "cancel";
  readonly catchUp: { readonly policy: "last" | "all" | "none"; readonly window: number };
  readonly spread: number;
  readonly until: string | null;
  readonly limit: number | null;
  readonly pauseAfterFailures: number | null;
  readonly paused: boolean;
  readonly note: string;
  readonly createdAt: string;
  readonly updatedAt: string;
  /** The next times; none when it is paused or over. */
  readonly next: readonly string[];
  /** When the next run starts: its time and the spread. */
  readonly dueAt: string | null;
  readonly last: { readonly runId: string; readonly scheduledAt: string; readonly status: Status | null } | null;
  /** The time whose run begins when the last one has ended. */
  readonly queued: string | null;
  readonly started: number;
  readonly skipped: number;
  readonly missed: number;
  /** Failed runs in a row. */
  readonly failures: number;
  /** Why the due run cannot be started just now. */
  readonly refused: string | null;
}

/** What became of the times of a backfill. */
export interface Backfilled {
  readonly slots: readonly { readonly scheduledAt: string; readonly runId: string | null; readonly created: boolean }[];
  readonly started: number;
  readonly existing: number;
}

/** How a schedule is put. */
export interface PutOptions extends Omit<StepOptions, "delay" | "startAt" | "startBy"> {
  /** Whether it waits to be resumed (default: as it is; a new one does not). */
  readonly paused?: boolean;
  /** Of each run, as in a start. */
  readonly tags?: Readonly<Record<string, string>>;
  /** Of each run, as in a start. */
  readonly hooks?: RunHooks;
  /** Refuse a schedule that has another version than this, or that exists, for 0. */
  readonly version?: number;
  /** Only check it, and tell its next times. */
  readonly dryRun?: boolean;
}

/** The schedules of a client. Every method rejects with an `AtomicError`, such as RefusedError for `not-found`. */
export class Schedules {
  readonly #connection: Connection;

  /** Options that are left out come from the environment, as those of `Atomic`. */
  constructor(options: ConnectionOptions = {}) {
    this.#connection = new Connection(options);
  }

  /**
   * Create or replace a schedule. With the same times it goes on where it is. The key of each run is the name and the
   * time, such as `digest@2026-11-28T08:00:00Z`.
   */
  async put<Input>(
    name: string,
    times: Times,
    workflow: WorkflowReference<Input>,
    payload: Input,
    { paused, version, dryRun = false, tags, hooks, ...options }: PutOptions = {},
  ): Promise<ScheduleDocument> {
    const start = {
      workflowName: workflow.workflowName,
      stepInvokeUrl: workflow.url,
      tags,
      hooks,
      ...stepMembers(options),
    };
    const given = JSON.stringify({ ...times.members, paused }).slice(0, -1);
    const body = `${given},"start":${JSON.stringify(start).slice(0, -1)},"payload":${writeJson(payload, "the payload")}}}`;
    const asked = version === 0 ? { "if-none-match": "*" } : version && { "if-match": `"${version}"` };
    return this.#made({
      method: "PUT",
      path: this.#connection.path("schedules", name) + (dryRun ? "?dryRun=true" : ""),
      body,
      ...(asked ? { headers: asked } : {}),
    });
  }

  /** Read a schedule, with its next times and its last run. */
  get(name: string): Promise<ScheduleDocument> {
    return documentOf(this.#connection, { method: "GET", path: this.#connection.path("schedules", name) });
  }

  /** All schedules, by name. */
  async list(): Promise<ScheduleDocument[]> {
    const found: ScheduleDocument[] = [];
    let path: string | null = `${this.#connection.path("schedules")}?limit=100`;
    while (path !== null) {
      const page: { schedules: ScheduleDocument[]; next: string | null } = await documentOf(this.#connection, {
        method: "GET",
        path,
      });
      found.push(...page.schedules);
      path = page.next;
    }
    return found;
  }

  /** Delete a schedule; its runs go on. */
  async delete(name: string): Promise<void> {
    await documentOf(this.#connection, { method: "DELETE", path: this.#connection.path("schedules", name) });
  }

  /** Pause a schedule: it starts nothing until it is resumed. */
  pause(name: string, note = ""): Promise<ScheduleDocument> {
    return this.#act(name, "pause", { note });
  }

  /** Resume a schedule, which goes on with its next time from now on. */
  resume(name: string): Promise<ScheduleDocument> {
    return this.#act(name, "resume", {});
  }

  /** The next times of a schedule, also of one that is paused. */
  async next(
    name: string,
    { count = 20, from }: { readonly count?: number; readonly from?: Date } = {},
  ): Promise<Date[]> {
    const query = new URLSearchParams({
      count: `${count}`,
      ...(from === undefined ? {} : { from: from.toISOString() }),
    });
    const path = `${this.#connection.path("schedules", name, "next")}?${query}`;
    const { next } = await documentOf<{ next: string[] }>(this.#connection, { method: "GET", path });
    return next.map((time) => new Date(time));
  }

  /** Start a run now, whatever is paused or under way. The same `key` finds the same run. */
  trigger(name: string, key: string): Promise<{ readonly runId: string; readonly created: boolean }> {
    return this.#made({
      method: "POST",
      path: this.#connection.path("schedules", name, "trigger"),
      headers: { "idempotency-key": JSON.stringify(key) },
    });
  }

  /**
   * Start the runs of the times from `from` on and before `to`; those that exist stay as they are. With
   * `dryRun`, only tell the times, and which of them have a run.
   */
  async backfill(
    name: string,
    { from, to, dryRun = false }: { readonly from: Date; readonly to: Date; readonly dryRun?: boolean },
  ): Promise<Backfilled> {
    const slots: Backfilled["slots"][number][] = [];
    let [started, existing, next] = [0, 0, from.toISOString() as string | null];
    while (next !== null) {
      const page: Backfilled & { next: string | null } = await documentOf(this.#connection, {
        method: "POST",
        path: this.#connection.path("schedules", name, "backfill"),
        body: JSON.stringify({ from: next, to: to.toISOString(), dryRun }),
      });
      slots.push(...page.slots);
      started += page.started;
      existing += page.existing;
      next = page.next;
    }
    return { slots, started, existing };
  }

  #act(name: string, action: string, given: object): Promise<ScheduleDocument> {
    const path = this.#connection.path("schedules", name, action);
    return documentOf(this.#connection, { method: "POST", path, body: JSON.stringify(given) });
  }

  async #made<Document>(request: ApiRequest): Promise<Document> {
    const answer = await this.#connection.exchange(request);
    return read(this.#connection, answer.status === 201 ? { ...answer, status: 200 } : answer);
  }
}
