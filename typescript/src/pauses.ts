/** Pauses of whole workflows: none of their runs is called meanwhile. */

import { Connection, type ConnectionOptions, documentOf } from "./http.ts";

/** A workflow: whether it is paused, and for how long its runs are kept. */
export interface WorkflowState {
  readonly workflowName: string;
  /** Since when, until when it ends by itself (null: when it is resumed), and why; null: it is not paused. */
  readonly paused: { readonly since: string; readonly until: string | null; readonly note: string } | null;
  /** For how many days after its end a run is kept that begins now. */
  readonly retentionDays: number;
}

/** Why a workflow is paused, and for how long. */
export interface PauseOptions {
  /** For people. */
  readonly note?: string;
  /** When it goes on by itself (default: when it is resumed). */
  readonly until?: Date;
}

/**
 * The paused workflows of a client, 50 at most. A pause holds within two seconds on a server, and within a minute on
 * AWS. Every method rejects with an `AtomicError`.
 */
export class WorkflowPauses {
  readonly #connection: Connection;

  /** Options that are left out come from the environment, as those of `Atomic`. */
  constructor(options: ConnectionOptions = {}) {
    this.#connection = new Connection(options);
  }

  /** Pause a workflow. Starts are accepted and kept, attempts that are under way end, and deadlines go on. */
  pause(workflowName: string, { note, until }: PauseOptions = {}): Promise<WorkflowState> {
    const path = this.#connection.path("workflows", workflowName, "pause");
    return documentOf(this.#connection, { method: "POST", path, body: JSON.stringify({ note, until }) });
  }

  /** Let its runs go on, one after the other: within 15 minutes at the latest. */
  resume(workflowName: string): Promise<WorkflowState> {
    const path = this.#connection.path("workflows", workflowName, "resume");
    return documentOf(this.#connection, { method: "POST", path });
  }

  /** Whether a workflow is paused. */
  get(workflowName: string): Promise<WorkflowState> {
    return documentOf(this.#connection, { method: "GET", path: this.#connection.path("workflows", workflowName) });
  }

  /** All paused workflows, by name. */
  async list(): Promise<readonly WorkflowState[]> {
    const path = this.#connection.path("paused-workflows");
    return (await documentOf<{ workflows: WorkflowState[] }>(this.#connection, { method: "GET", path })).workflows;
  }
}
