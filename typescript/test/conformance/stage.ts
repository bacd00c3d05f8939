/** What the cases share: an application, runs of its workflows, and helpers to look at them. */

import { randomUUID } from "node:crypto";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, expect, it } from "vitest";
import type {
  Atomic,
  Context,
  Endpoint,
  Endpoints,
  RunDocument,
  StepFailedError,
  StepOutcome,
} from "../../src/index.ts";
import { application } from "../app.ts";
import table from "./table.json" with { type: "json" };

type Table = typeof table;

/** A case that the table names. */
export type CaseName = { [Category in keyof Table]: keyof Table[Category]["covered"] & string }[keyof Table];

const NUMBERS: Readonly<Record<string, readonly number[]>> = Object.assign(
  {},
  ...Object.values(table).map(({ covered }) => covered),
);

/** A case that covers what the table says. */
export function covers(name: CaseName, work: () => Promise<void>): void {
  it(`${name} (${NUMBERS[name]?.join(", ")})`, work, 60_000);
}

/** Retries that take no time. */
export const FAST = { count: 3, backOff: 20, jitter: "none", strategy: "fixed" } as const;

/** An application whose handlers are suspended at each wait, and called again. */
export class Stage {
  readonly #served;
  /** What was noted, in order. */
  readonly noted: string[] = [];

  constructor(clientId: string, waitMs = 30) {
    this.#served = application(clientId, waitMs);
  }

  get app(): Endpoints<Context> {
    return this.#served.app;
  }

  get atomic(): Atomic {
    return this.#served.atomic;
  }

  get url(): string {
    return this.#served.url();
  }

  /** Note something, and give it back. */
  note<Value>(value: Value): Value {
    this.noted.push(typeof value === "string" ? value : JSON.stringify(value));
    return value;
  }

  /** How often this was noted. */
  count(value: string): number {
    return this.noted.filter((each) => each === value).length;
  }

  /** Start a workflow in a run of its own, and do not wait for it. Its handler is not retried. */
  begin<Input, Output>(
    workflow: Endpoint<Input, Output>,
    payload: Input,
    key: string = randomUUID(),
  ): Promise<StepOutcome> {
    return this.atomic.start(workflow.at(this.url), payload, { key, timeout: 0, retry: 0 });
  }

  /** The result of a run. */
  async end(run: StepOutcome): Promise<unknown> {
    return (await this.atomic.wait(run.id, { timeout: "40s" })).response;
  }

  /** Start a workflow, and wait for its result. */
  async result<Input, Output>(workflow: Endpoint<Input, Output>, payload: Input): Promise<unknown> {
    return this.end(await this.begin(workflow, payload));
  }

  /** The failure of a run. */
  async failure(run: StepOutcome): Promise<StepFailedError> {
    return this.end(run).then(
      (found) => expect.unreachable(`It succeeded: ${JSON.stringify(found)}`),
      (error: StepFailedError) => error,
    );
  }

  /** A run with its steps. */
  look(run: StepOutcome): Promise<RunDocument> {
    return this.atomic.get(run.runId);
  }

  /** The names of the steps of a run. */
  async names(run: StepOutcome): Promise<(string | null)[]> {
    return (await this.look(run)).steps.map(({ stepName }) => stepName);
  }

  /** Wait until a run has steps of these names. */
  reached(run: StepOutcome, ...names: string[]): Promise<void> {
    return until(async () => {
      const found = await this.names(run);
      return names.every((name) => found.includes(name));
    });
  }

  /** Give an event of a run its result. */
  async give(run: StepOutcome, name: string, result: unknown): Promise<void> {
    const { workflowName, idempotencyKey: key } = run;
    await this.atomic.signal({ workflowName, key, name }, result);
  }

  /** Reject an event of a run. */
  async refuse(run: StepOutcome, name: string): Promise<void> {
    const { workflowName, idempotencyKey: key } = run;
    await this.atomic.reject({ workflowName, key, name }, "not approved");
  }
}

/** Wait until something is so. */
export async function until(isSo: () => Promise<boolean> | boolean): Promise<void> {
  for (const endMs = performance.now() + 15_000; !(await isSo()); await pause(20)) {
    expect(performance.now()).toBeLessThan(endMs);
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** A step on a URL of its own whose process dies in every odd call, so that nothing answers. */
export async function dying(): Promise<{ url: string; calls: () => number }> {
  let calls = 0;
  const server: Server = createServer((request, response) => {
    request.resume();
    if (++calls % 2 === 1) request.socket.destroy();
    else response.end('"alive"');
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  afterAll(() => {
    server.close();
    server.closeAllConnections();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/dying`, calls: () => calls };
}

/** A text whose form in JSON is an object: `toJSON` writes it, and `read` makes a text of it. */
export class Wrapped {
  constructor(readonly text: string) {}

  toJSON(): { wrapped: string } {
    return { wrapped: this.text };
  }

  static read({ wrapped }: { wrapped: string }): string {
    return wrapped;
  }
}
