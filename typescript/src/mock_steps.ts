/** What takes the steps of a workflow that is tested without a server: answers of the test, and a time of its own. */

import { failure } from "./answers.ts";
import type { Call } from "./call.ts";
import { canonicalJson } from "./canonical.ts";
import { type Duration, milliseconds } from "./durations.ts";
import { runId, sha256, stepId } from "./identity.ts";
import { parseJson, writeJson } from "./json.ts";

/** The client of mocked runs. */
export const CLIENT = "mock";

/** Answers of a test: a result, or a function of the payload that returns one or throws. */
export type Answers = Readonly<Record<string, unknown>>;

/** What an event gets some time after it was opened: a result, or a function of its number. */
export class Delayed {
  /** @internal */
  constructor(
    readonly delayMs: number,
    readonly result: unknown,
  ) {}
}

/**
 * Give an event later, counted from when the workflow opened it or began to wait for it: `events: { approval:
 * delayed("2d", "yes") }`. A function of an event may return it, too.
 */
export function delayed(duration: Duration, result: unknown): Delayed {
  return new Delayed(milliseconds("delayed", duration), result);
}

/** A call that a workflow has made, with its outcome. */
export interface MockCall {
  readonly kind: "step" | "value" | "sleep" | "event" | "run" | "continue";
  /** The end of the URL of a step, the name of anything else. */
  readonly name: string;
  readonly payload: unknown;
  /** When it was made, by the time of the test. */
  readonly at: Date;
  readonly status: "open" | "succeeded" | "failed" | "cancelled";
  readonly result?: unknown;
  readonly error?: string;
}

/** The test itself is wrong, or the workflow is. */
export class MockError extends Error {
  override readonly name: string = "MockError";
}

interface Posted {
  readonly stepName?: string;
  readonly stepInvokeUrl?: string;
  readonly kind?: "timer" | "event" | "value" | "run";
  readonly workflowName: string;
  readonly idempotencyKey: string;
  readonly parent: string;
  readonly continues?: string;
  readonly run?: { readonly workflowName: string; readonly idempotencyKey: string };
  readonly detached?: boolean;
  readonly delay?: number;
  readonly startAt?: string;
  readonly startBy?: string | number;
  readonly deadline?: number;
  readonly heartbeat?: number;
  readonly payload?: unknown;
}

interface Step {
  readonly id: string;
  readonly posted: Posted;
  readonly name: string;
  readonly fingerprint: string;
  readonly atMs: number;
  dueMs: number;
  /** Whether it is to begin at a time that comes before its start. */
  readonly isLate: boolean;
  /** Of an event: what it is given at `sentMs`, infinity if nobody sends it. */
  given?: unknown;
  sentMs?: number;
  status: "waiting" | "succeeded" | "failed" | "cancelled";
  finishedAt?: string;
  response?: unknown;
  /** What is said of a failure. */
  problem?: Readonly<Record<string, unknown>>;
}

const KINDS = { timer: "sleep", event: "event", value: "value", run: "run" } as const;
const HEADERS = { "content-type": "application/json" };
const OF_PROBLEM = "urn:atomic:problem:";

/** Steps in memory. It answers as the server does, but tries each step once, and forgets all at the end. */
export class MockSteps {
  /** Why the test cannot go on. */
  fault: Error | undefined;
  readonly #steps = new Map<string, Step>();
  #nowMs: number;
  #ended = 0;
  #continuedAs: { payload: unknown } | undefined;

  /** `waits`: whether each step ends only when the handler has been suspended. */
  constructor(
    readonly call: Call,
    beginMs: number,
    readonly waits: boolean,
    readonly steps: Answers,
    readonly events: Answers,
  ) {
    this.#nowMs = beginMs;
  }

  get now(): Date {
    return new Date(this.#nowMs);
  }

  /** The calls, in the order in which they came. */
  get calls(): MockCall[] {
    return [...this.#steps.values()].map((step) => {
      const { status, problem, response, posted, name, atMs } = step;
      const isSettled = status !== "waiting";
      const kind = posted.continues ? "continue" : posted.kind === undefined ? "step" : KINDS[posted.kind];
      return {
        kind,
        name,
        payload: posted.payload ?? null,
        at: new Date(atMs),
        status: isSettled ? (status as "succeeded") : "open",
        ...(status === "succeeded" && { result: response }),
        ...(problem && { error: `${problem.lastError}` }),
      };
    });
  }

  /** What the next run was given, if the workflow has gone on as one. */
  get continuedAs(): { readonly payload: unknown } | undefined {
    return this.#continuedAs;
  }

  /** In place of the network. */
  readonly fetch = async (input: unknown, init: RequestInit = {}): Promise<Response> => {
    const url = new URL(`${input}`);
    const [, , place, id = "", action] = url.pathname.split("/").map(decodeURIComponent);
    if (place === "runs") {
      const asked = url.searchParams.get("id");
      const listed = [...this.#steps.values()].filter((step) => asked === null || step.id === asked);
      return json(200, { steps: listed.map(row), next: null });
    }
    if (place === "steps" && action === "cancel") {
      const step = this.#steps.get(id);
      if (step?.status === "waiting") {
        this.#end(step, "cancelled");
      }
      return json(step === undefined ? 404 : 200, { id });
    }
    const posted = parseJson(`${init.body}`) as Posted;
    try {
      return await this.#post(posted, new Headers(init.headers).get("prefer") === "respond-async");
    } catch (error) {
      this.fault ??= error as Error;
      return json(409, { type: `${OF_PROBLEM}mock`, detail: (error as Error).message });
    }
  };

  /** End what is due; if nothing is, let time pass until something is. */
  async settle(): Promise<void> {
    const open = [...this.#steps.values()].filter(({ status }) => status === "waiting");
    const dueMs = Math.min(...open.map((step) => step.dueMs));
    if (dueMs === Number.POSITIVE_INFINITY) {
      const names = open.map(({ name }) => `'${name}'`).join(", ");
      throw new MockError(
        `The workflow waits for ${names}, which nobody sends: give it in \`events\`, or give it a deadline.`,
      );
    }
    this.#nowMs = Math.max(this.#nowMs, dueMs);
    for (const step of open) {
      if (step.dueMs <= this.#nowMs && step.status === "waiting") {
        await this.#settleStep(step);
      }
    }
  }

  async #post(posted: Posted, isAsync: boolean): Promise<Response> {
    const id = await idOf(this.call.runId, posted);
    let step = this.#steps.get(id);
    const fingerprint = await sha256(canonicalJson(posted.payload ?? null, "a payload"));
    if (step === undefined) {
      step = this.#created(id, posted, fingerprint);
      this.#steps.set(id, step);
    } else if (posted.kind === "event" && step.status === "waiting") {
      step.dueMs = Math.min(step.dueMs, this.#limitOf(posted));
    }
    const isValue = posted.kind === "value";
    if (step.status === "waiting" && step.dueMs <= this.#nowMs && (isValue || !(this.waits || isAsync))) {
      await this.#settleStep(step);
    }
    if (isAsync) {
      return json(202, { ...row(step), status: step.status === "waiting" ? "waiting" : step.status });
    }
    if (step.status === "waiting") {
      return json(504, { type: `${OF_PROBLEM}not-finished`, id });
    }
    if (step.status === "cancelled") {
      return json(409, { type: `${OF_PROBLEM}step-cancelled`, detail: "The step was cancelled.", id });
    }
    return step.problem === undefined ? json(200, row(step)) : json(424, step.problem);
  }

  #created(id: string, posted: Posted, fingerprint: string): Step {
    const { kind, stepName, stepInvokeUrl = "", run } = posted;
    const name = kind === "run" ? (run?.workflowName ?? "") : kind === undefined ? lastOf(stepInvokeUrl) : stepName;
    if (posted.continues !== undefined) {
      this.#continuedAs = { payload: posted.payload };
    } else if (kind === undefined || kind === "run") {
      this.#answerTo(posted, name ?? "");
    }
    const startMs = this.#startMs(posted);
    // A duration begins with the start, and no start is late here.
    const byMs = typeof posted.startBy === "string" ? Date.parse(posted.startBy) : Number.POSITIVE_INFINITY;
    const isLate = byMs <= startMs;
    const dueMs = isLate ? Math.max(byMs, this.#nowMs) : startMs;
    const about = { id, posted, name: name ?? "", fingerprint, isLate };
    const step: Step = { ...about, atMs: this.#nowMs, dueMs, status: "waiting" };
    const event = nameOfEvent(posted);
    if (kind === "event") {
      this.#plan(step, Object.hasOwn(this.events, event), this.events[event]);
    }
    return step;
  }

  /** What the test says of a step: by its own name, the end of its URL, or the whole URL. */
  #answerTo({ stepName, stepInvokeUrl }: Posted, name: string): unknown {
    for (const known of [stepName ?? name, name, stepInvokeUrl ?? ""]) {
      if (Object.hasOwn(this.steps, known)) {
        return this.steps[known];
      }
    }
    throw new MockError(`The workflow calls '${name}', and the test has no answer: give it in \`steps\`.`);
  }

  #startMs({ delay = 0, startAt }: Posted): number {
    if (startAt === undefined) {
      return this.#nowMs + delay;
    }
    // JSON has null in place of an invalid Date.
    const startMs = Date.parse(startAt);
    if (Number.isNaN(startMs)) {
      throw new MockError("startAt: an invalid Date is no time, and the server would refuse it.");
    }
    return Math.max(this.#nowMs, startMs);
  }

  /** When an event ends: when it is sent, or at its limit. */
  #plan(step: Step, isSent: boolean, given?: unknown): void {
    const delayMs = given instanceof Delayed ? given.delayMs : 0;
    step.given = given instanceof Delayed ? given.result : given;
    step.sentMs = isSent ? this.#nowMs + delayMs : Number.POSITIVE_INFINITY;
    step.dueMs = Math.min(step.sentMs, this.#limitOf(step.posted));
  }

  #limitOf({ deadline, heartbeat }: Posted): number {
    return this.#nowMs + Math.min(deadline ?? Number.POSITIVE_INFINITY, heartbeat ?? Number.POSITIVE_INFINITY);
  }

  async #settleStep(step: Step): Promise<void> {
    const { posted, id, name } = step;
    const { kind } = posted;
    if (kind === "value" || kind === "timer" || posted.continues !== undefined) {
      step.response = kind === "value" ? posted.payload : null;
      this.#end(step, "succeeded");
      return;
    }
    const isEvent = kind === "event";
    if (isEvent && (step.sentMs ?? 0) > this.#nowMs) {
      const why = posted.deadline === undefined ? "heartbeat_missed" : "event_expired";
      this.#fail(step, { lastErrorKind: why, lastError: "It was not completed in time." });
      return;
    }
    if (step.isLate) {
      const why = { lastErrorKind: kind === "run" ? "child_failed" : "start_expired", attempts: 0 };
      this.#fail(step, { ...why, lastError: `Its first attempt had not begun by ${posted.startBy}.` });
      return;
    }
    const answer = isEvent ? step.given : this.#answerTo(posted, name);
    const headers = new Headers();
    const call = { ...this.call, stepId: id, idempotencyKey: posted.idempotencyKey, attempt: 1, headers };
    let result: unknown;
    try {
      const given = isEvent ? numberOfEvent(posted) : posted.payload;
      result = typeof answer === "function" ? await answer(given, call) : answer;
    } catch (error) {
      if (isEvent) {
        const detail = error instanceof Error ? error.message : `${error}`;
        const lastError = `the event was rejected: ${detail}`;
        this.#fail(step, { lastErrorKind: "event_rejected", lastError, response: { detail } });
        return;
      }
      const response = failure(error);
      const problem = (await response.json()) as { detail?: string };
      const kinds = kind === "run" ? "child_failed" : "http_status";
      const [type = null] = (response.headers.get("atomic-error-type") ?? "").split(", ");
      this.#fail(step, {
        lastErrorKind: kinds,
        lastError: problem.detail,
        lastErrorType: type || null,
        lastStatus: response.status,
        response: problem,
      });
      return;
    }
    if (isEvent && typeof answer === "function" && (result === undefined || result instanceof Delayed)) {
      this.#plan(step, result !== undefined, result);
      return;
    }
    step.response = parseJson(writeJson(result ?? null, `the answer to '${name}'`));
    this.#end(step, "succeeded");
  }

  #fail(step: Step, said: Readonly<Record<string, unknown>>): void {
    const { id, posted } = step;
    const { stepName = null, stepInvokeUrl = null } = posted;
    const about = { id, stepName, stepInvokeUrl, attempts: 1, lastStatus: null, lastErrorType: null, response: null };
    const when = said.attempts === 0 ? "before its first attempt" : "at attempt 1";
    const detail = `The step failed ${when}: ${said.lastError}`;
    this.#end(step, "failed");
    const { finishedAt = null } = step;
    step.problem = { type: `${OF_PROBLEM}step-failed`, detail, ...about, finishedAt, ...said };
  }

  /** No two steps end at one time, so that each replay sees their ends in one order. */
  #end(step: Step, status: Step["status"]): void {
    step.status = status;
    const micros = `${this.#ended++ % 1000}`.padStart(3, "0");
    if (micros === "999") {
      this.#nowMs++;
    }
    step.finishedAt = `${this.now.toISOString().slice(0, -1)}${micros}Z`;
  }
}

/** The id that the server would give to a step. */
function idOf(run: string, posted: Posted): Promise<string> {
  const { kind, stepInvokeUrl = "", stepName = "", workflowName, parent = "", idempotencyKey } = posted;
  const identity = { clientId: CLIENT, workflowName, parent, stepName, idempotencyKey };
  if (kind !== "run") {
    return stepId(run, { ...identity, called: kind ?? stepInvokeUrl });
  }
  const child = runId(CLIENT, posted.run?.workflowName ?? "", posted.run?.idempotencyKey ?? "");
  return child.then((id) => stepId(run, { ...identity, called: posted.detached ? `${id} detached` : id }));
}

function row({ id, posted, status, fingerprint, finishedAt, response }: Step): Record<string, unknown> {
  const { kind = "http" } = posted;
  const url = kind === "event" ? { callbackUrl: `/callbacks/${id}` } : {};
  return { id, kind, status, fingerprint, ...(finishedAt && { finishedAt }), response, ...url };
}

function json(status: number, document: unknown): Response {
  return new Response(writeJson(document, "a document"), { status, headers: HEADERS });
}

function lastOf(url: string): string {
  return decodeURIComponent(new URL(url).pathname.split("/").at(-1) ?? "");
}

function nameOfEvent({ stepName = "" }: Posted): string {
  return stepName.replace(/#\d+$/, "");
}

function numberOfEvent({ stepName = "" }: Posted): number {
  return Number(/#(\d+)$/.exec(stepName)?.[1] ?? 1);
}
