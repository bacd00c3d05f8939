/**
 * Encryption of payloads and results, so that the server has only ciphertext. The core knows nothing of it.
 *
 * Requests to the server go through a `fetch` that encrypts and decrypts. Calls of endpoints go through a handler. It
 * hands on the very bytes that were signed, and the `parse` of the endpoints reads them decrypted.
 */

import { parseWithBigint } from "./bigint.ts";
import { canonicalJson } from "./canonical.ts";
import { EncryptionError, type EncryptionKey, isSealed, KeyRing, type Place } from "./ciphers.ts";
import { type Attempt, EncryptedRequests, plainRefused } from "./encrypted_requests.ts";
import { Connection, type ConnectionOptions } from "./http.ts";
import { parseJson } from "./json.ts";
import type { Fetching } from "./web.ts";

export { EncryptionError, type EncryptionKey } from "./ciphers.ts";

/** What encrypts. */
export interface EncryptionOptions {
  /**
   * The keys: the first one encrypts, and each of them decrypts. Or a function that fetches them: it is called when
   * they are first needed, and again for an id that is unknown.
   */
  readonly keys: readonly EncryptionKey[] | (() => readonly EncryptionKey[] | Promise<readonly EncryptionKey[]>);
  /** Whether a value that is not encrypted is refused (default: it is read as it is). */
  readonly refusePlain?: boolean;
}

interface Shown {
  readonly plain: string;
  users: number;
  isRead: boolean;
}

/** Encrypts what clients and endpoints send, and decrypts what they get. */
export class Encryption {
  readonly #keys: KeyRing;
  readonly #refusesPlain: boolean;
  /** What the attempts under way have read of their earlier steps, by their tokens. */
  readonly #attempts: Map<string, Attempt> = new Map();
  /** Calls under way, decrypted, by their bodies. */
  readonly #calls: Map<string, Shown> = new Map();

  /** Throws TypeError for wrong keys. */
  constructor({ keys, refusePlain = false }: EncryptionOptions) {
    this.#keys = new KeyRing(keys);
    this.#refusesPlain = refusePlain;
  }

  /**
   * Options of a connection that encrypts: `new Atomic(encryption.connection())`, and for the steps of workflows
   * `endpoints({ atomic: encryption.connection() })`.
   */
  connection(options: ConnectionOptions = {}): ConnectionOptions {
    const { fetch = (input, init) => globalThis.fetch(input, init), parse = parseJson } = options;
    const failures = new Map<string, unknown>();
    const requests = new EncryptedRequests(new Connection(options), this.#keys, this.#attempts, this.#refusesPlain);
    return {
      ...options,
      fetch: async (input, init) => {
        try {
          return await requests.send(fetch, input, init);
        } catch (error) {
          if (!(error instanceof EncryptionError)) {
            throw error;
          }
          // An error of `fetch` is taken for a lost connection. One of `parse` is not.
          const body = `not decrypted ${crypto.randomUUID()}`;
          failures.set(body, error);
          return new Response(body);
        }
      },
      parse: (json) => {
        if (failures.has(json)) {
          const failure = failures.get(json);
          failures.delete(json);
          throw failure;
        }
        const call = this.#calls.get(json);
        if (call === undefined) {
          return parse(json);
        }
        call.isRead = true;
        return parse(call.plain);
      },
    };
  }

  /** Endpoints whose calls are decrypted and whose results are encrypted: give it to an adapter, or use its `fetch`. */
  serve(endpoints: Fetching): Fetching {
    return { fetch: (request) => this.#answer(endpoints, request) };
  }

  async #answer(endpoints: Fetching, request: Request): Promise<Response> {
    if (request.method !== "POST" || request.bodyUsed) {
      return endpoints.fetch(request);
    }
    const body = await request.clone().text();
    const stepId = calledStep(body);
    if (stepId === undefined) {
      return endpoints.fetch(request);
    }
    const place = { runId: stepId.split("-")[0] as string, stepId, kind: "step" } as const;
    const token = request.headers.get("atomic-attempt-token") ?? "";
    try {
      const plain = await this.#decrypted(body, { ...place, part: "payload" });
      const call = this.#calls.get(body) ?? { plain, users: 0, isRead: false };
      call.users++;
      this.#calls.set(body, call);
      this.#attempts.set(token, this.#attempts.get(token) ?? new Map());
      try {
        const response = await endpoints.fetch(request);
        if (response.status === 200 && !call.isRead) {
          const cure = "Give these endpoints the option `atomic: encryption.connection()`.";
          throw new EncryptionError("not-served", cure);
        }
        return await this.#encrypted(response, { ...place, part: "result" });
      } finally {
        call.users--;
        if (call.users === 0) {
          this.#calls.delete(body);
          this.#attempts.delete(token);
        }
      }
    } catch (error) {
      // Not permanent: the key may come with the next release, or from its service.
      return refusal(stepId, error);
    }
  }

  /** A call whose payload is plain. */
  async #decrypted(body: string, place: Place): Promise<string> {
    const { payload, ...rest } = JSON.parse(body) as { payload: unknown };
    if (!isSealed(payload)) {
      if (this.#refusesPlain) {
        throw plainRefused(place);
      }
      return body;
    }
    const plain = await this.#keys.opened(payload, place);
    return `${JSON.stringify(rest).slice(0, -1)},"payload":${plain}}`;
  }

  /** An answer whose result is encrypted. What is no success is not: people have to read errors. */
  async #encrypted(response: Response, place: Place): Promise<Response> {
    if (response.status !== 200) {
      return response;
    }
    const [cipher] = await this.#keys.ciphers();
    const sealed = await cipher?.sealed(canonicalJson(parseWithBigint(await response.text())), place);
    const headers = new Headers(response.headers);
    headers.delete("content-length");
    return new Response(JSON.stringify(sealed), { status: 200, headers });
  }
}

/** 503: the endpoint is called again. */
function refusal(stepId: string, error: unknown): Response {
  if (!(error instanceof EncryptionError)) {
    console.error(stepId, error);
  }
  const detail = error instanceof EncryptionError ? error.message : "The keys cannot be had now.";
  const document = { title: "The endpoint asks for a later call", status: 503, detail };
  return new Response(JSON.stringify(document), {
    status: 503,
    headers: { "content-type": "application/problem+json" },
  });
}

/** The step whose endpoint is called; undefined for what is no call of Atomic. */
function calledStep(body: string): string | undefined {
  try {
    const { stepId, payload } = JSON.parse(body) as { stepId?: unknown; payload?: unknown };
    return typeof stepId === "string" && payload !== undefined ? stepId : undefined;
  } catch {
    return undefined;
  }
}
