/** What operators see of the limits that steps share, and what they pin. */

import { Connection, type ConnectionOptions, documentOf } from "./http.ts";

/** A rate: at most `limit` attempts begin within `per` milliseconds. */
export interface Rate {
  readonly limit: number;
  readonly per: number;
}

/** A key of flow control, as it is now. */
export interface FlowKeyDocument {
  readonly key: string;
  /** How many slots there are; null for any number. */
  readonly concurrency: number | null;
  readonly paused: boolean;
  /** Why it is paused, for people. */
  readonly note: string;
  /** How many slots are taken. */
  readonly running: number;
  /** How many steps wait in line. */
  readonly queued: number;
  /** Since when the step waits that has waited longest. */
  readonly oldest: string | null;
  /** The rate in force, and the first time that no attempt has taken. */
  readonly pace: (Rate & { readonly nextAt: string }) | null;
  readonly pinned: { readonly concurrency: number | null; readonly rate: Rate | null };
}

/** A step under a key of flow control. */
export interface FlowStep {
  readonly id: string;
  readonly runId: string;
  readonly workflowName: string;
  readonly idempotencyKey: string;
  readonly stepName: string | null;
  readonly status: string;
  /** Steps with different values take turns. */
  readonly fair: string;
  readonly priority: number;
  /** Since when it is in line, or when its attempt began. */
  readonly since: string | null;
}

/** The keys of flow control of a client. Every method rejects with an `AtomicError`. */
export class FlowKeys {
  readonly #connection: Connection;

  /** Options that are left out come from the environment, as those of `Atomic`. */
  constructor(options: ConnectionOptions = {}) {
    this.#connection = new Connection(options);
  }

  /** All keys that steps have named lately, by name. */
  async list(): Promise<FlowKeyDocument[]> {
    const found: FlowKeyDocument[] = [];
    let path: string | null = `${this.#connection.path("flow")}?limit=100`;
    while (path !== null) {
      const page: { keys: FlowKeyDocument[]; next: string | null } = await documentOf(this.#connection, {
        method: "GET",
        path,
      });
      found.push(...page.keys);
      path = page.next;
    }
    return found;
  }

  /** How many slots of a key are taken, and how many steps wait. */
  get(key: string): Promise<FlowKeyDocument> {
    return documentOf(this.#connection, { method: "GET", path: this.#connection.path("flow", key) });
  }

  /** Set limits of a key, whatever its steps say. What is left out stays; null ends a pin. */
  pin(
    key: string,
    limits: { readonly concurrency?: number | null; readonly rate?: Rate | null },
  ): Promise<FlowKeyDocument> {
    return this.#put(key, limits);
  }

  /** The steps that have a slot, and those in line, that whose turn is next first: at most 100 of each. */
  steps(key: string): Promise<{ running: FlowStep[]; queued: FlowStep[] }> {
    const path = `${this.#connection.path("flow", key, "steps")}?limit=100`;
    return documentOf(this.#connection, { method: "GET", path });
  }

  /** Let nothing new in; what is inside goes on to its end. `note`: why, for people. */
  pause(key: string, { note = "" }: { readonly note?: string } = {}): Promise<FlowKeyDocument> {
    return this.#put(key, note ? { paused: true, note } : { paused: true });
  }

  /** Let steps in again. */
  resume(key: string): Promise<FlowKeyDocument> {
    return this.#put(key, { paused: false });
  }

  #put(key: string, pinned: object): Promise<FlowKeyDocument> {
    const path = this.#connection.path("flow", key);
    return documentOf(this.#connection, { method: "PUT", path, body: JSON.stringify(pinned) });
  }
}
