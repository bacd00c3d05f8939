/** Hooks: URLs that Atomic calls when something happens to runs. */

import type { RunHooks } from "./client.ts";
import type { Status } from "./documents.ts";
import { Connection, type ConnectionOptions, documentOf, read } from "./http.ts";

/**
 * Of what a hook is told. `step.failed` is of steps below a root, `event.opened` of events that wait for their result,
 * `schedule.missed` of times that passed without a run.
 */
export type HookEvent = HookMessage["event"] | ScheduleMessage["event"];

/** A hook as it stands. */
export interface HookDocument {
  readonly name: string;
  readonly url: string;
  readonly on: readonly HookEvent[];
  /** It is told of this workflow alone; null for all. */
  readonly workflowName: string | null;
}

/** The payload of a delivery: what the endpoint of a hook is told. It has no payload or result of the run. */
export interface HookMessage {
  readonly event: keyof RunHooks | "step.failed" | "event.opened";
  readonly hook: string;
  readonly at: string;
  readonly runId: string;
  /** The root, the step that failed, or the event that was opened. */
  readonly stepId: string;
  readonly workflowName: string;
  readonly stepName: string | null;
  readonly idempotencyKey: string;
  readonly status: Status;
  /** 1, and one more after each redrive. */
  readonly generation: number;
  readonly error: { readonly kind: string; readonly responseStatus: number | null } | null;
  /** The run in the API; null if the server does not know its own URL. */
  readonly url: string | null;
  /** Of an event that was opened: when it expires unless its result or a heartbeat comes; null without a limit. */
  readonly deadlineAt?: string | null;
  /** Of an event that was opened: where its result is posted, with a key. */
  readonly resultUrl?: string | null;
}

/** The payload of a delivery that tells of times that a schedule has missed. */
export interface ScheduleMessage {
  readonly event: "schedule.missed";
  readonly hook: string;
  readonly at: string;
  readonly scheduleName: string;
  readonly workflowName: string;
  /** How many times it missed, at least. */
  readonly missed: number;
  /** The first of them, and the last. */
  readonly from: string;
  readonly to: string;
  /** The schedule in the API; null if the server does not know its own URL. */
  readonly url: string | null;
}

/** The hooks of a client, ten at most. Every method rejects with an `AtomicError`, such as RefusedError for `not-found`. */
export class Hooks {
  readonly #connection: Connection;

  /** Options that are left out come from the environment, as those of `Atomic`. */
  constructor(options: ConnectionOptions = {}) {
    this.#connection = new Connection(options);
  }

  /** Create or replace a hook. Its `url` is under a base URL of the client, and is called as a step is. */
  async put(
    name: string,
    url: string,
    on: readonly HookEvent[],
    { workflowName }: { readonly workflowName?: string } = {},
  ): Promise<HookDocument> {
    const path = this.#connection.path("hooks", name);
    const body = JSON.stringify({ url, on, workflowName });
    const answer = await this.#connection.exchange({ method: "PUT", path, body });
    return read(this.#connection, answer.status === 201 ? { ...answer, status: 200 } : answer);
  }

  /** Read a hook. */
  get(name: string): Promise<HookDocument> {
    return documentOf(this.#connection, { method: "GET", path: this.#connection.path("hooks", name) });
  }

  /** All hooks, by name. */
  async list(): Promise<readonly HookDocument[]> {
    const path = this.#connection.path("hooks");
    return (await documentOf<{ hooks: HookDocument[] }>(this.#connection, { method: "GET", path })).hooks;
  }

  /** Delete a hook; deliveries that are under way go on. */
  async delete(name: string): Promise<void> {
    await documentOf(this.#connection, { method: "DELETE", path: this.#connection.path("hooks", name) });
  }
}
