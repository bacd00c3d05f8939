/** Runs a program through Atomic: on a server in virtual time, with a handler that is called again and again. */

import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { Atomic, type Call, type Context, endpoints, NotFinishedError, type StepDocument } from "../../src/index.ts";
import { node } from "../../src/node.ts";
import { compiled, type Workflow } from "./compiled.ts";
import { Chance } from "./generator.ts";
import { ENTRY, type Program } from "./language.ts";
import { type Given, Ledger, STEPS } from "./library.ts";
import { endOf, type Outcome, outcome } from "./outcome.ts";
import type { Plain } from "./plain.ts";

/** A fault of the SDK, planted on purpose: another context in place of the one that a workflow gets. */
export type Plant = (context: Context) => unknown;

const WITHIN_S = 60;
const ENDED_WITHIN_MS = 20_000;
// With a fault, a run may never end.
const PLANTED_WITHIN_S = 5;
const PLANTED_ENDED_WITHIN_MS = 1000;
const LOOK_MS = 100;
// How long a call of a workflow waits for its steps. The shorter, the more often it is called.
const WAITS_MS = [1, 1, 1, 30, 2000];
// The events that somebody answers.
const TOLD = /^event (?!late|never)/;
const SETTLED: ReadonlySet<string> = new Set(["succeeded", "failed", "cancelled"]);

/** An application that serves programs, each below a folder of its own. */
export class Player {
  readonly #listeners = new Map<string, ReturnType<typeof node>>();
  readonly #server: Server;
  #played = 0;

  constructor(readonly atomicUrl: string) {
    this.#server = createServer(async (request, response) => {
      const listener = this.#listeners.get(request.url?.split("/")[1] ?? "");
      await (listener?.(request, response) ?? response.writeHead(410).end());
    });
  }

  async open(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** The outcome of a program, which without Atomic is `plain`. */
  async play(program: Program, seed: number, plain: Plain, plant?: Plant): Promise<Outcome> {
    const folder = `p${seed}-${this.#played++}`;
    const connection = { url: this.atomicUrl, clientId: folder };
    const chance = new Chance(seed);
    const app = endpoints({ atomic: connection, waitMs: chance.one(WAITS_MS) });
    const ledger = new Ledger();
    const references: Record<string, unknown> = {};
    for (const [name, step] of Object.entries(STEPS)) {
      references[name] = app.step(name, (given: Given, call: Call) => step(ledger, given, call));
    }
    let workflows: Map<string, Workflow>;
    for (const name of Object.keys(program.functions)) {
      references[name] = app.workflow(name, (context, n: number) =>
        (workflows.get(name) as Workflow)(plant?.(context) ?? context, n),
      );
    }
    workflows = compiled(program, references);
    this.#listeners.set(folder, node(app));
    const { port } = this.#server.address() as AddressInfo;
    const main = { workflowName: ENTRY, url: `http://127.0.0.1:${port}/${folder}/${ENTRY}` };
    const atomic = new Atomic(connection);
    const key = `key-${seed}`;
    const name = `e-${ENTRY}`;
    if (plain.asked.has(name) && chance.is(0.5)) {
      // Before its run exists.
      await atomic.signal({ workflowName: ENTRY, key, name }, { name, number: 1 });
    }
    const expected = Object.entries(plain.waits)
      .filter(([wait]) => TOLD.test(wait))
      .reduce((sum, [, number]) => sum + number, 0);
    const teller = new Teller(connection.url, folder, atomic, expected);
    const options = {
      key,
      retry: { count: 3, backOff: 1000 },
      timeout: { seconds: plant === undefined ? WITHIN_S : PLANTED_WITHIN_S },
    };
    const run = atomic.start(main, program.payload, options).then(({ response }) => response);
    const end = await endOf(Promise.race([run, teller.failed]).catch((error: unknown) => teller.explained(error)));
    const steps = await teller.ended(plant === undefined ? ENDED_WITHIN_MS : PLANTED_ENDED_WITHIN_MS);
    teller.stop();
    const parents = new Map(steps.map(({ id, parent }) => [id, parent ?? ""]));
    const waits = steps
      .filter(({ kind }) => /^(timer|event|value)$/.test(kind))
      .map(({ kind, stepName }) => ({ kind, name: stepName ?? "" }))
      .map(({ kind, name }) => ({ kind, name: kind === "event" ? name.replace(/#\d+$/, "") : name }));
    this.#listeners.delete(folder);
    return outcome(end, ledger.effects, waits, ({ stepId }) => parents.get(stepId) ?? "");
  }
}

/** Completes the events of a program. The result of an event follows from its name and number. */
class Teller {
  /** Rejects when an answer was refused. */
  readonly failed: Promise<never>;
  #isOver = false;

  constructor(
    readonly url: string,
    readonly clientId: string,
    readonly atomic: Atomic,
    readonly expected: number,
  ) {
    this.failed = this.#tell();
  }

  stop(): void {
    this.#isOver = true;
  }

  /** All steps of all runs of the program. */
  async steps(): Promise<StepDocument[]> {
    const runs = await this.atomic.runs({ limit: 1000 });
    const documents = await Promise.all(runs.map(({ runId }) => this.atomic.get(runId)));
    return documents.flatMap(({ root, steps }) => [root, ...steps.filter(({ id }) => id !== root.id)]);
  }

  /** The same when all runs have ended: those that were started go on, also when nothing waits for them. */
  async ended(withinMs: number): Promise<StepDocument[]> {
    for (let looks = 0; ; looks++) {
      const all = await this.steps();
      if (looks * LOOK_MS > withinMs || all.every(({ id, status }) => !id.endsWith("-root") || SETTLED.has(status))) {
        return all;
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
  }

  /** A run that does not end is told with the steps that it waits for. */
  async explained(error: unknown): Promise<never> {
    if (!(error instanceof NotFinishedError)) {
      throw error;
    }
    const live = (await this.steps()).filter(({ status }) => !SETTLED.has(status));
    throw new Error(
      `stuck: ${live.map((step) => `${step.kind} ${step.stepName ?? step.stepInvokeUrl} ${step.status}, ${step.attempts} attempts`).join("; ")}`,
    );
  }

  async #tell(): Promise<never> {
    const done = new Set<string>();
    // More than these would be a fault, and are left open.
    while (!this.#isOver && done.size < this.expected) {
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
      const all = await this.steps();
      const open = all.filter(
        ({ id, kind, status, stepName }) => TOLD.test(`${kind} ${stepName}`) && !SETTLED.has(status) && !done.has(id),
      );
      for (const step of open) {
        done.add(step.id);
        await this.#answer(step, all);
      }
    }
    return new Promise(() => undefined);
  }

  async #answer({ id, parent, stepName, idempotencyKey }: StepDocument, all: readonly StepDocument[]): Promise<void> {
    const [name = "", inName] = (stepName ?? "").split("#");
    // Outside of branches, the name has the number, and the key is that of the handler.
    const isInBranch = all.find((each) => each.id === parent)?.idempotencyKey !== idempotencyKey;
    const inKey = isInBranch ? /#(\d+)-[0-9a-f]{16}$/.exec(idempotencyKey)?.[1] : undefined;
    const number = Number(inName ?? inKey ?? 1);
    const isRejected = name.startsWith("no");
    const body = JSON.stringify(isRejected ? { detail: "no" } : { name, number });
    const url = `${this.url}/${this.clientId}/steps/${id}/${isRejected ? "reject" : "result"}`;
    const answer = await fetch(url, { method: "POST", body, headers: { "content-type": "application/json" } });
    if (!answer.ok && answer.status !== 409) {
      throw new Error(`${url}: ${answer.status} ${await answer.text()}`);
    }
  }
}
