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
const LIVE = /^(pending|running|retrying|waiting)$/;

/** Whether a step has no outcome yet. */
export function isLive(step: Known): boolean {
  return LIVE.test(step.status);
}

/** The steps of earlier attempts. One that is missing or malformed costs a post, and changes no outcome. */
export class Results {
  /** Whether all of them were read. */
  isComplete = true;
  readonly steps: Map<string, Known> = new Map();
  /** The ids of those that this attempt has asked for. */
  readonly used: Set<string> = new Set();
  /** Nothing is asked in the first attempt. */
  readonly #ask: ((query: string) => Promise<ApiAnswer>) | undefined;

  constructor(call: Call, connection: Connection, headers: Readonly<Record<string, string>>) {
    const path = `${connection.path("runs", call.runId, "results")}?parent=${encodeURIComponent(call.stepId)}`;
    if (call.attempt > 1) {
      this.#ask = (query) =>
        connection.exchange({ method: "GET", path: path + query, headers, patienceMs: PATIENCE_MS });
    }
  }

  /** Read all of them. */
  async read(): Promise<void> {
    for (let after: string | null = ""; after !== null; ) {
      let page: ApiAnswer | undefined;
      try {
        page = await this.#ask?.(after === "" ? "" : `&after=${after}`);
      } catch (error) {
        if (!isTransient(error)) {
          throw error;
        }
      }
      const next = this.#take(page);
      this.isComplete &&= next !== undefined || !this.#ask;
      // A cursor that does not advance would be asked for without end.
      after = next && next > after ? next : null;
    }
  }

  /** The step, if an earlier attempt is known to have posted it. */
  get(id: string): Known | undefined {
    this.used.add(id);
    return this.steps.get(id);
  }

  /** The same, as it stands now: the list may be a moment old. Throws where a later request may tell. */
  async find(id: string): Promise<Known | undefined> {
    await this.mayHave(id);
    return this.get(id);
  }

  /**
   * Whether an earlier attempt may have posted the step: also where the server does not say. A step that is taken for
   * posted is posted again. One that is taken for new may have had an effect, which nothing would undo.
   */
  async mayHave(id: string): Promise<boolean> {
    if (this.#ask === undefined || this.get(id) !== undefined) {
      return this.#ask !== undefined;
    }
    return this.#take(await this.#ask(`&id=${id}`)) === undefined || this.steps.has(id);
  }

  /** Take the steps of a page. Returns the cursor of the next one; undefined when it is no page. */
  #take(page: ApiAnswer | undefined): string | null | undefined {
    const document = page?.document as { steps?: Known[]; next?: string | null } | undefined;
    if (page?.status !== 200 || !Array.isArray(document?.steps)) {
      return undefined;
    }
    for (const step of document.steps) {
      this.steps.set(step.id, step);
    }
    return document.next ?? null;
  }
}

/**
 * Whether an earlier attempt posted a step that this one has not asked for, so that this code is a replay. Events do not
 * count, since others may open them.
 */
export function hasUnused({ steps, used }: Results): boolean {
  return [...steps.values()].some(({ id, kind }) => kind !== "event" && !used.has(id));
}
