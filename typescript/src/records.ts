/** What is kept: the audit log of what operators did, runs that are exported or erased, and for how long. */

import type { RunFilter } from "./client.ts";
import type { StepDocument } from "./documents.ts";
import { Connection, type ConnectionOptions, documentOf } from "./http.ts";
import { parseJson } from "./json.ts";
import type { WorkflowState } from "./pauses.ts";

/** What an operator did, or tried to do. */
export interface Act {
  readonly id: string;
  readonly at: string;
  /** The id of the operation in the API's description, such as `cancelRun`. */
  readonly action: string;
  /** The ids in the path of the request, such as `runId`. */
  readonly target: Readonly<Record<string, string>>;
  /** The id of the key, or the ARN of the caller; null where no keys are needed. */
  readonly by: string | null;
  readonly byKind: "key" | "operator" | "iam" | "anybody";
  readonly source: string | null;
  readonly userAgent: string | null;
  readonly requestId: string | null;
  /** Of the answer; null when there was none. */
  readonly status: number | null;
}

/** Which acts are listed. */
export interface ActFilter {
  readonly action?: string;
  /** Only what this key did (its id, the middle part), or this caller of AWS (its ARN). */
  readonly by?: string;
  /** Only from then on. */
  readonly since?: Date;
  readonly before?: Date;
  /** How many at most (default 100). */
  readonly limit?: number;
}

/** Which runs are exported. Times are RFC 3339. */
export type ExportFilter = Pick<
  RunFilter,
  "status" | "workflowName" | "keyPrefix" | "keyContains" | "createdAfter" | "createdBefore"
> & {
  /** A tag that the runs have, as `name:value`, or several. */
  readonly tag?: string | readonly string[];
};

const NEXT = /^<([^>]+)>; rel="next"$/;

/**
 * The audit log of a client, its runs as they are exported and erased, and the retentions of its workflows. All but
 * `export` and `retentions` take a key with the scope `admin`. Every method rejects with an `AtomicError`, such as RefusedError for `not-found`.
 */
export class Records {
  readonly #connection: Connection;
  readonly #parse: (json: string) => unknown;

  /** Options that are left out come from the environment, as those of `Atomic`. */
  constructor(options: ConnectionOptions = {}) {
    this.#connection = new Connection(options);
    this.#parse = options.parse ?? parseJson;
  }

  /**
   * Export runs with all of their steps, the newest run first, and the steps of one run after the other. They are read
   * page by page, so any number of runs needs little memory. Payloads and responses above 256 KiB are null.
   */
  async *export({ tag = [], ...wanted }: ExportFilter = {}): AsyncGenerator<StepDocument, void, undefined> {
    const query = new URLSearchParams(wanted as Record<string, string>);
    for (const each of [tag].flat()) {
      query.append("tag", each);
    }
    let path: string | undefined = `${this.#connection.path("export")}?${query}`;
    while (path !== undefined) {
      const answer = await this.#connection.exchange({ method: "GET", path });
      if (answer.status !== 200) {
        throw this.#connection.errorOf(answer);
      }
      for (const line of answer.text.split("\n").filter((each) => each !== "")) {
        yield this.#parse(line) as StepDocument;
      }
      path = NEXT.exec(answer.headers.get("link") ?? "")?.[1];
    }
  }

  /** What operators did, the newest first. Requests that were refused are among it. */
  async audit({ action, by, since, before, limit = 100 }: ActFilter = {}): Promise<Act[]> {
    const given = { action, by, from: since?.toISOString(), before: before?.toISOString() };
    const query = new URLSearchParams({ limit: `${Math.max(1, Math.min(limit, 100))}` });
    for (const [name, value] of Object.entries(given)) {
      if (value !== undefined) {
        query.set(name, value);
      }
    }
    const found: Act[] = [];
    let path: string | null = `${this.#connection.path("audit")}?${query}`;
    while (path !== null && found.length < limit) {
      const page: { acts: Act[]; next: string | null } = await documentOf(this.#connection, { method: "GET", path });
      found.push(...page.acts);
      path = page.next;
    }
    return found.slice(0, limit);
  }

  /**
   * Erase a run that has ended, with its payloads and responses. While one of its steps is live, it is refused
   * (`run-live`). Afterwards a start of the same key begins a new run.
   */
  async erase(runId: string): Promise<void> {
    await documentOf(this.#connection, { method: "DELETE", path: this.#connection.path("runs", runId) });
  }
  /**
   * Keep the runs of a workflow for fewer days after their end than the server keeps others. Of runs that begin within
   * two seconds on a server, within a minute on AWS: a run keeps the retention that it began with.
   */
  setRetention(workflowName: string, days: number): Promise<WorkflowState> {
    const path = this.#connection.path("workflows", workflowName, "retention");
    return documentOf(this.#connection, { method: "PUT", path, body: JSON.stringify({ days }) });
  }

  /** Keep the runs of a workflow that begin from now on for as long as the server keeps others. */
  clearRetention(workflowName: string): Promise<WorkflowState> {
    const path = this.#connection.path("workflows", workflowName, "retention");
    return documentOf(this.#connection, { method: "DELETE", path });
  }

  /** All workflows that have retentions of their own, by name. */
  async retentions(): Promise<readonly WorkflowState[]> {
    const path = this.#connection.path("workflow-retentions");
    return (await documentOf<{ workflows: WorkflowState[] }>(this.#connection, { method: "GET", path })).workflows;
  }
}
