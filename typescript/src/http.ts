/** One server: requests to it, which of them are sent again, and the meaning of its answers. */

import { type AtomicError, errorOf, NoAnswerError, RefusedError } from "./errors.ts";
import { parseJson } from "./json.ts";

/** Where the server is, who asks, and what takes the place of the platform's own functions. */
export interface ConnectionOptions {
  /** The server (default: `ATOMIC_URL`, else `http://127.0.0.1:8787`). */
  readonly url?: string;
  /** The client whose runs these are (default: `ATOMIC_CLIENT_ID`, else `dev`). */
  readonly clientId?: string;
  /** Its key (default: `ATOMIC_API_KEY`, else none). */
  readonly apiKey?: string;
  /**
   * How long lost connections, 429 and 503 in a row are retried, in milliseconds (default 30000). A retry is safe,
   * since every request may be repeated.
   */
  readonly patienceMs?: number;
  /** What sends requests (default: the platform's `fetch`). */
  readonly fetch?: typeof globalThis.fetch;
  /** What reads JSON (default: integers beyond 2^53 are refused; `atomic-workflows/bigint` reads them). */
  readonly parse?: (json: string) => unknown;
}

/** A request; `path` begins with a slash. `waitMs`: how long the server waits before it answers. */
export interface ApiRequest {
  readonly method: "GET" | "POST" | "PUT" | "DELETE";
  readonly path: string;
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly waitMs?: number;
  /** In place of that of the connection. */
  readonly patienceMs?: number;
  readonly signal?: AbortSignal | undefined;
}

/** An answer; `document` is its JSON, `undefined` when its text is none. */
export interface ApiAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly document: unknown;
}

const SENT_AGAIN: ReadonlySet<number> = new Set([429, 500, 502, 503]);
const PAUSE_MIN_MS = 100;
const PAUSE_MAX_MS = 5000;
// Added to the time that the server waits: the time to connect, and to receive the answer.
const GRACE_MS = 10_000;
// On AWS, an inline first attempt delays the answer by up to 20 s, however short the wait is.
const AT_LEAST_MS = 30_000;

/** A server and a client of it. */
export class Connection {
  readonly url: string;
  readonly clientId: string;
  readonly patienceMs: number;
  readonly #apiKey: string;
  readonly #fetch: typeof globalThis.fetch;
  readonly #parse: (json: string) => unknown;

  constructor(options: ConnectionOptions = {}) {
    this.url = checkedUrl(options.url ?? variable("ATOMIC_URL") ?? "http://127.0.0.1:8787");
    this.clientId = options.clientId ?? variable("ATOMIC_CLIENT_ID") ?? "dev";
    this.patienceMs = options.patienceMs ?? 30_000;
    this.#apiKey = options.apiKey ?? variable("ATOMIC_API_KEY") ?? "";
    this.#fetch = options.fetch ?? ((input, init) => globalThis.fetch(input, init));
    this.#parse = options.parse ?? parseJson;
  }

  /** The path of something of this client. */
  path(...parts: string[]): string {
    return `/${[this.clientId, ...parts].map(encodeURIComponent).join("/")}`;
  }

  /** Send a request, again and again while no answer comes or the server is busy; throws when patience is over. */
  async exchange(request: ApiRequest): Promise<ApiAnswer> {
    for (let failures = 1, firstMs = 0; ; failures++) {
      const answer = await this.#send(request);
      if (!(answer instanceof Error) && !SENT_AGAIN.has(answer.status)) {
        return answer;
      }
      const nowMs = performance.now();
      firstMs = failures === 1 ? nowMs : firstMs;
      const pauseMs = pauseAfter(answer, failures);
      if (nowMs + pauseMs > firstMs + (request.patienceMs ?? this.patienceMs)) {
        throw answer instanceof Error ? answer : this.errorOf(answer);
      }
      await pause(pauseMs, request.signal);
    }
  }

  /** The error for an answer without success. */
  errorOf(answer: ApiAnswer): AtomicError {
    return errorOf(this.url, answer.status, answer.document);
  }

  async #send(request: ApiRequest): Promise<ApiAnswer | NoAnswerError> {
    const { method, path, body, waitMs = 0 } = request;
    const headers: Record<string, string> = { ...request.headers };
    if (body !== undefined) {
      headers["content-type"] = "application/json";
    }
    if (this.#apiKey !== "") {
      headers.authorization = `Bearer ${this.#apiKey}`;
    }
    const timeoutMs = waitMs > 0 ? Math.max(waitMs + GRACE_MS, AT_LEAST_MS) : GRACE_MS;
    const limits = [AbortSignal.timeout(timeoutMs), ...(request.signal ? [request.signal] : [])];
    let response: Response;
    let text: string;
    try {
      const init = { method, headers, redirect: "manual", signal: AbortSignal.any(limits) } as const;
      response = await this.#fetch(this.url + path, body === undefined ? init : { ...init, body });
      text = await response.text();
    } catch (error) {
      request.signal?.throwIfAborted();
      return new NoAnswerError(this.url, error);
    }
    return { status: response.status, headers: response.headers, text, document: this.#documentIn(text) };
  }

  #documentIn(text: string): unknown {
    try {
      return this.#parse(text);
    } catch (error) {
      if (error instanceof SyntaxError) {
        return undefined;
      }
      throw error;
    }
  }
}

/** The document of a successful answer; throws the error of any other. */
export async function documentOf<Document>(connection: Connection, request: ApiRequest): Promise<Document> {
  return read(connection, await connection.exchange(request));
}

/** The document of an answer; throws the error of one without success. */
export function read<Document>(connection: Connection, answer: ApiAnswer): Document {
  if (answer.status !== 200 && answer.status !== 202) {
    throw connection.errorOf(answer);
  }
  if (Object(answer.document) !== answer.document) {
    throw errorOf(connection.url, answer.status, undefined);
  }
  return answer.document as Document;
}

/** Wait; throws the reason of a signal that is aborted before. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const aborted = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", aborted);
      resolve();
    }, ms);
    signal?.addEventListener("abort", aborted, { once: true });
  });
}

/** Half is fixed and half is random, so that the clients of a server do not all return at the same time. */
export function spread(ms: number): number {
  return (ms * (1 + Math.random())) / 2;
}

/** A variable of the environment, where there is one. */
export function variable(name: string): string | undefined {
  const { process } = globalThis as { process?: { env?: Record<string, string | undefined> } };
  return process?.env?.[name] || undefined;
}

function pauseAfter(answer: ApiAnswer | NoAnswerError, failures: number): number {
  const asked = answer instanceof Error ? null : answer.headers.get("retry-after");
  if (asked !== null && /^\d+$/.test(asked)) {
    return Number(asked) * 1000;
  }
  return spread(Math.min(PAUSE_MIN_MS * 2 ** failures, PAUSE_MAX_MS));
}

function checkedUrl(url: string): string {
  try {
    if (/^https?:$/.test(new URL(url).protocol)) {
      return url.replace(/\/+$/, "");
    }
  } catch {
    // The message below says what to write.
  }
  const detail = `ATOMIC_URL ${url} is no URL of a server, such as http://127.0.0.1:8787.`;
  throw new RefusedError("invalid-request", detail, 400);
}
