/** What earlier attempts of a handler posted. */

import { isTransient } from "./answers.ts";
import type { Call } from "./call.ts";
import type { ApiAnswer, Connection } from "./http.ts";

/** A step as the results list it: a success with its response, any other with its status alone. */
export interface Known {
  readonly id: string;
  readonly kind: string;
  readonly status: string;
  readonly fingerprint: string;
  readonly finishedAt?: string;
  readonly response?: unknown;
  readonly callbackUrl?: string | null;
}

// The handler does not wait longer for its results. Without them it posts its steps again.
const PATIENCE_MS = 1000;
const LIVE: ReadonlySet<string> = new Set(["pending", "running", "retrying", "waiting"]);

/** Whether a step has no outcome yet. */
export function isLive(step: Known): boolean {
  return LIVE.has(step.status);
}

/** The steps of earlier attempts. One that is missing or malformed costs a post, and changes no outcome. */
export class Results {
  /** Whether all of them were read. */
  isComplete = true;
  readonly steps: Map<string, Known> = new Map();
  /** The ids of those that this attempt has asked for. */
  readonly used: Set<string> = new Set();
  readonly #ask: ((query: string) => Promise<ApiAnswer>) | undefined;

  constructor(call: Call, connection: Connection, headers: Readonly<Record<string, string>>) {
    const path = `${connection.path("runs", call.runId, "results")}?parent=${encodeURIComponent(call.stepId)}`;
    if (call.attempt > 1 && call.attemptToken !== "") {
      this.#ask = (query) =>
        connection.exchange({ method: "GET", path: path + query, headers, patienceMs: PATIENCE_MS });
    }
  }

  /** Read all of them. */
  async read(): Promise<void> {
    for (let after: string | null = ""; after !== null; ) {
      after = await this.#page(after === "" ? "" : `&after=${encodeURIComponent(after)}`);
    }
  }

  /** The step, if an earlier attempt is known to have posted it. */
  get(id: string): Known | undefined {
    this.used.add(id);
    return this.steps.get(id);
  }

  /** The same, as it stands now: the list may be a moment old. */
  async find(id: string): Promise<Known | undefined> {
    if (!this.steps.has(id)) {
      await this.#page(`&id=${encodeURIComponent(id)}`);
    }
    return this.get(id);
  }

  async #page(query: string): Promise<string | null> {
    let page: ApiAnswer | undefined;
    try {
      page = await this.#ask?.(query);
    } catch (error) {
      if (!isTransient(error)) {
        throw error;
      }
    }
    const document = page?.document as { steps?: Known[]; next?: string | null } | undefined;
    if (page?.status !== 200 || !Array.isArray(document?.steps)) {
      this.isComplete &&= this.#ask === undefined;
      return null;
    }
    for (const step of document.steps) {
      this.steps.set(step.id, step);
    }
    const { next } = document;
    // A cursor that does not advance would be asked for without end.
    return typeof next === "string" && !query.endsWith(`after=${encodeURIComponent(next)}`) ? next : null;
  }
}

/** Whether an earlier attempt posted a step that this one has not asked for, so that this code is a replay. */
export function hasUnused({ steps, used }: Results): boolean {
  return [...steps].some(([id, { kind }]) => kind !== "event" && !used.has(id));
}
