/**
 * Identities of runs and steps, as the server computes them.
 *
 * A handler that is called again needs the ids of its steps before it posts them: its results are listed by id.
 */

import { builtin } from "./builtin.ts";

interface Hash {
  update(content: string | Uint8Array): Hash;
  digest(encoding: "hex"): string;
}

const utf8 = new TextEncoder();
// WebCrypto gives each digest to another thread, which takes longer than the digest. A replay needs four for each step.
const quick = builtin<{ createHash(algorithm: "sha256"): Hash }>("node:crypto");

/** The SHA-256 of a text or of bytes, in hex. */
export async function sha256(content: string | Uint8Array): Promise<string> {
  if (quick !== undefined) {
    return quick.createHash("sha256").update(content).digest("hex");
  }
  const bytes = typeof content === "string" ? utf8.encode(content) : content;
  const digest = await crypto.subtle.digest("SHA-256", bytes as BufferSource);
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The id of the run that a client starts under a key: `run_` and 32 hex digits. */
export async function runId(clientId: string, workflowName: string, idempotencyKey: string): Promise<string> {
  return `run_${await digest(clientId, workflowName, idempotencyKey)}`;
}

/** What tells a step from all others of its client. */
export interface Identity {
  readonly clientId: string;
  readonly workflowName: string;
  /** The id of the step whose handler posts it. */
  readonly parent: string;
  /** Its URL; for a step without one, its kind. */
  readonly called: string;
  readonly stepName: string;
  readonly idempotencyKey: string;
}

/** The id that the server gives to a step of this run. */
export async function stepId(run: string, step: Identity): Promise<string> {
  const { clientId, workflowName, parent, called, stepName, idempotencyKey } = step;
  const [below, own] = await Promise.all([
    digest(parent),
    digest(clientId, workflowName, parent, called, stepName, idempotencyKey),
  ]);
  return `${run}-${below.slice(0, 8)}${own.slice(8)}`;
}

/** Where a call stands in its handler: its branch, its `key`, and its number among equal ones, from 1. */
export interface Position {
  readonly path: readonly string[];
  readonly key: string | null;
  readonly number: number;
}

/** The key of something that a handler starts, when it is given none: no other identity of the handler has it. */
export async function scopedKey(runKey: string, ...identity: string[]): Promise<string> {
  return `${runKey.slice(0, READABLE_CHARS)}-${(await digest(...identity)).slice(-16)}`;
}

const READABLE_CHARS = 200;
const VISIBLE_ASCII = /^[\x21-\x7e]{1,255}$/;

/** The key of a step: that of its run for the first call, and one of its own for each other call. */
export async function stepKey(runKey: string, { path, key, number }: Position): Promise<string> {
  if (path.length === 0 && key === null && number === 1) {
    return runKey;
  }
  const framed = frame([runKey, ...path, key === null ? "" : `/${key}`, String(number)]);
  const digits = (await sha256(framed)).slice(0, 16);
  const branches = path.filter((part) => part !== "").map((part) => `@${part}`);
  const readable = `${branches.join("")}${key === null ? "" : `/${key}`}${number > 1 ? `#${number}` : ""}`;
  const begin = runKey + (VISIBLE_ASCII.test(readable) ? readable : "");
  return `${begin.slice(0, READABLE_CHARS)}-${digits}`;
}

async function digest(...parts: string[]): Promise<string> {
  return (await sha256(frame(parts))).slice(0, 32);
}

/** The parts, each behind its length, so that no choice of names makes two identities equal. */
function frame(parts: readonly string[]): Uint8Array {
  const encoded = parts.map((part) => utf8.encode(part));
  const framed = new Uint8Array(encoded.reduce((sum, part) => sum + 4 + part.length, 0));
  const view = new DataView(framed.buffer);
  let at = 0;
  for (const part of encoded) {
    view.setUint32(at, part.length);
    framed.set(part, at + 4);
    at += 4 + part.length;
  }
  return framed;
}
