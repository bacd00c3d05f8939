/**
 * Requests to the server whose values are encrypted, and whose answers are decrypted.
 *
 * A handler compares its steps with those of its earlier attempts by the fingerprints of their payloads. The server's are
 * those of ciphertexts, which the handler does not know. So its posts are compared here: what is known of a step from
 * the list of results is the answer to its post, and the server is not asked again.
 */

import { parseWithBigint } from "./bigint.ts";
import { canonicalJson } from "./canonical.ts";
import { EncryptionError, isSealed, type KeyRing, type Place } from "./ciphers.ts";
import type { Connection } from "./http.ts";
import { runId, sha256, stepId } from "./identity.ts";
import { writeJson } from "./json.ts";
import { isLive, type Known } from "./results.ts";

/** The steps that an attempt of a handler has read, by their ids. */
export type Attempt = Map<string, Known & { readonly continuedAs?: string | null }>;

interface Start {
  readonly workflowName: string;
  readonly idempotencyKey: string;
  readonly payload?: unknown;
  readonly kind?: string;
  readonly parent?: string;
  readonly stepInvokeUrl?: string;
  readonly stepName?: string | null;
  readonly detached?: boolean;
  readonly run?: { readonly workflowName: string; readonly idempotencyKey: string };
}

interface Outcome {
  readonly id: string;
  readonly kind: string;
  readonly status: string;
  readonly response?: unknown;
  readonly continuedAs?: string | null;
  readonly childRunId?: string | null;
}

type Fetch = typeof globalThis.fetch;
/** Sends a request with this body. */
type Send = (body: string) => Promise<Response>;

const SEALED = /\{\s*"\$enc"\s*:\s*\{[^{}]*\}\s*\}/g;
const PROBLEM = "urn:atomic:problem:";

/** A value that is not encrypted where all must be. */
export function plainRefused({ part, stepId: id }: Place): EncryptionError {
  return new EncryptionError("not-decodable", `The ${part} of ${id ?? "an event"} is not encrypted.`);
}

/** The requests of one connection. */
export class EncryptedRequests {
  constructor(
    readonly server: Connection,
    readonly keys: KeyRing,
    readonly attempts: Map<string, Attempt>,
    readonly refusesPlain: boolean,
  ) {}

  /** Send a request. Throws EncryptionError for an answer that cannot be decrypted. */
  async send(fetch: Fetch, input: Parameters<Fetch>[0], init: RequestInit = {}): Promise<Response> {
    const token = new Headers(init.headers).get("atomic-attempt-token");
    if (token !== null && !this.attempts.has(token)) {
      // Its results would be sent in plain.
      throw new EncryptionError("not-served", "Serve these endpoints by `encryption.serve(endpoints)`.");
    }
    const path = `${input}`.slice(this.server.url.length);
    const send: Send = (body) => fetch(input, { ...init, body });
    const { body, method } = init;
    const steps = this.server.path("steps");
    if (method === "POST" && typeof body === "string") {
      // The server may say that steps are posted below another path than this.
      if (path === this.server.path() || path.endsWith(steps)) {
        const known = this.attempts.get(token ?? "");
        return this.#started(send, body, known, new Headers(init.headers).has("prefer"));
      }
      if (path === this.server.path("events")) {
        return this.#told(send, body);
      }
      const [, event] = /^([^/]+)\/result$/.exec(path.slice(steps.length + 1)) ?? [];
      if (event !== undefined && path.startsWith(steps)) {
        return this.#posted(send, body, (value) => value, ofEvent(runOf(decodeURIComponent(event))));
      }
    }
    if (method === "PUT" && typeof body === "string" && path.startsWith(this.server.path("schedules"))) {
      const { start } = JSON.parse(body) as { start?: { payload?: unknown } };
      if (start?.payload != null) {
        const detail = "payload: encryption writes it for one run; a schedule has many. Leave it out.";
        return problem("invalid-request", 400, { detail });
      }
    }
    const isRestart = path.startsWith(this.server.path("runs")) && path.endsWith("/restart");
    if (isRestart && Object.hasOwn(JSON.parse(`${body}`), "payload")) {
      const detail = "payload: it would be sent in plain. Leave it out, or start a run with it under another key.";
      return problem("invalid-request", 400, { detail });
    }
    const response = await fetch(input, init);
    if (response.status === 200 && path.startsWith(this.server.path("runs")) && path.includes("/results?")) {
      return this.#listed(response, this.attempts.get(token ?? "") ?? new Map());
    }
    return method === "GET" && path.startsWith(`${steps}/`) && path.includes("?wait=")
      ? this.#decrypted(response)
      : response;
  }

  /** Start something: its payload belongs to the step whose endpoint is called, or it is a value. */
  async #started(send: Send, body: string, attempt: Attempt | undefined, isAsync: boolean): Promise<Response> {
    const document = parseWithBigint(body) as Start;
    if (document.payload === undefined) {
      return this.#decrypted(await send(body));
    }
    const { id, called } = await this.#identified(document);
    const { payload, ...rest } = document;
    const json = canonicalJson(payload);
    const place: Place =
      document.kind === "value"
        ? { runId: runOf(id), stepId: id, kind: "value", part: "result" }
        : { runId: runOf(called), stepId: called, kind: "step", part: "payload" };
    const sealed: unknown[] = [];
    for (const cipher of await this.keys.ciphers()) {
      sealed.push(await cipher.sealed(json, place));
    }
    // The response of a step that only starts a run is the server's own.
    const madeBy = document.detached ? undefined : called;
    const known = attempt?.get(id);
    if (known !== undefined && document.kind !== "value") {
      const prints = await Promise.all([json, ...sealed.map((each) => canonicalJson(each))].map(sha256));
      const answer = prints.includes(known.fingerprint) && (await this.#answered(known, madeBy, isAsync));
      if (answer) {
        return answer;
      }
    }
    const bodies = sealed.map((each) => JSON.stringify({ ...rest, payload: each }));
    const response = await accepted(send, bodies, 422);
    return madeBy === undefined ? response : this.#decrypted(response, madeBy);
  }

  /** What the server would answer to the post of a step that is known; undefined where only it can tell. */
  async #answered(known: Outcome & Known, madeBy: string | undefined, isAsync: boolean): Promise<Response | undefined> {
    const { id, kind, status, finishedAt } = known;
    if (status === "succeeded") {
      const response = madeBy && (await this.#opened(known.response, known.continuedAs ?? madeBy, kind));
      const members = JSON.stringify({ id, kind, status, finishedAt }).slice(0, -1);
      return json(`${members},"response":${response ?? writeJson(known.response ?? null)}}`, 200, {
        "idempotency-replayed": "true",
      });
    }
    if (isLive(known)) {
      return isAsync
        ? json(JSON.stringify({ id, kind, status }), 202)
        : problem("not-finished", 504, { id, stepStatus: status });
    }
    return undefined;
  }

  /** The id of a step, and that of the step whose endpoint reads its payload and makes its result. */
  async #identified(document: Start): Promise<{ id: string; called: string }> {
    const { clientId } = this.server;
    const { workflowName, idempotencyKey, kind, parent, run, detached, stepName } = document;
    if (parent === undefined) {
      const root = `${await runId(clientId, workflowName, idempotencyKey)}-root`;
      return { id: root, called: root };
    }
    const child = run && (await runId(clientId, run.workflowName, run.idempotencyKey));
    const called = child ? (detached ? `${child} detached` : child) : (document.stepInvokeUrl ?? `${kind}`);
    const own = { clientId, workflowName, parent, called, stepName: stepName ?? "", idempotencyKey };
    const id = await stepId(runOf(parent), own);
    return { id, called: child ? `${child}-root` : id };
  }

  /** Give an event its result, by its name. */
  async #told(send: Send, body: string): Promise<Response> {
    const { result, ...event } = parseWithBigint(body) as Start & { result?: unknown };
    if (result === undefined) {
      return send(body);
    }
    const { parent, workflowName, idempotencyKey } = event;
    const run = parent ? runOf(parent) : await runId(this.server.clientId, workflowName, idempotencyKey);
    return this.#posted(send, canonicalJson(result), (sealed) => ({ ...event, result: sealed }), ofEvent(run));
  }

  async #posted(send: Send, given: string, body: (sealed: unknown) => unknown, place: Place): Promise<Response> {
    const json = canonicalJson(parseWithBigint(given));
    const bodies: string[] = [];
    for (const cipher of await this.keys.ciphers()) {
      bodies.push(JSON.stringify(body(await cipher.sealed(json, place))));
    }
    return accepted(send, bodies, 409);
  }

  /** A page of results. Values and events are found by their ids, so they are decrypted; other steps are posted. */
  async #listed(response: Response, attempt: Attempt): Promise<Response> {
    const body = await response.text();
    const page = parseWithBigint(body) as { steps?: (Known & Outcome)[] };
    const plain = new Map<string, string>();
    let shown = body;
    for (const step of page.steps ?? []) {
      attempt.set(step.id, step);
      if (step.kind === "http" || step.kind === "run") {
        shown = shown.replaceAll(`"${step.fingerprint}"`, '""');
      } else if (step.status === "succeeded" && step.kind !== "timer") {
        await this.#opened(step.response, step.id, step.kind, plain);
      }
    }
    return json(replaced(shown, plain), response.status, response.headers);
  }

  /** The answer with a step, decrypted. `called`: what made its result, unless the answer says otherwise. */
  async #decrypted(response: Response, called?: string): Promise<Response> {
    if (response.status !== 200 && response.status !== 202) {
      return response;
    }
    const body = await response.text();
    const plain = new Map<string, string>();
    const step = documentIn(body);
    // A run that went on as another one has no result, and neither has a timer.
    const isOver = step?.status === "succeeded" && (step.continuedAs == null || step.kind === "run");
    if (isOver && step.kind !== "timer") {
      const root = step.kind === "run" && step.childRunId ? `${step.childRunId}-root` : undefined;
      const madeBy = step.continuedAs ?? root ?? (step.kind === "value" ? step.id : (called ?? step.id));
      await this.#opened(step.response, madeBy, step.kind, plain);
    }
    return json(replaced(body, plain), response.status, response.headers);
  }

  /** The JSON of an encrypted result, which is noted as well; undefined for a plain one. */
  async #opened(
    value: unknown,
    madeBy: string,
    kind: string,
    noted?: Map<string, string>,
  ): Promise<string | undefined> {
    const place: Place =
      kind === "event"
        ? ofEvent(runOf(madeBy))
        : { runId: runOf(madeBy), stepId: madeBy, kind: kind === "value" ? "value" : "step", part: "result" };
    if (!isSealed(value)) {
      if (this.refusesPlain) {
        throw plainRefused(place);
      }
      return undefined;
    }
    const plain = await this.keys.opened(value, place);
    noted?.set(value.$enc.c, plain);
    return plain;
  }
}

/** The first answer to one of these bodies that is no refusal for a difference; else that to the first. */
async function accepted(send: Send, bodies: readonly string[], refusal: 409 | 422): Promise<Response> {
  const [newest = "", ...older] = bodies;
  const first = await send(newest);
  for (const body of first.status === refusal ? older : []) {
    const next = await send(body);
    if (next.status !== refusal) {
      return next;
    }
  }
  return first;
}

/** The text with these values in place of their ciphertexts. Texts in JSON have no quotation mark that begins one. */
function replaced(body: string, plain: ReadonlyMap<string, string>): string {
  return plain.size === 0
    ? body
    : body.replace(SEALED, (sealed) => plain.get((JSON.parse(sealed) as { $enc: { c: string } }).$enc.c) ?? sealed);
}

function documentIn(body: string): Outcome | undefined {
  try {
    return JSON.parse(body) as Outcome;
  } catch {
    return undefined;
  }
}

function ofEvent(run: string): Place {
  return { runId: run, stepId: null, kind: "event", part: "result" };
}

/** The id of the run that a step's id begins with. */
function runOf(id: string): string {
  return id.split("-")[0] as string;
}

function json(body: string, status: number, given: HeadersInit = {}): Response {
  const headers = new Headers(given);
  for (const name of ["content-length", "content-encoding"]) {
    headers.delete(name);
  }
  return new Response(body, { status, headers });
}

function problem(name: string, status: number, members: Readonly<Record<string, unknown>>): Response {
  return json(JSON.stringify({ type: PROBLEM + name, status, detail: "", ...members }), status);
}
