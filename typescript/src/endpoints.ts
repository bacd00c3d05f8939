/** Functions as endpoints, on the web's own Request and Response. */

import { failure, NonRetryable, RetryAfter, success, suspension } from "./answers.ts";
import { type Call, readCall, UnreadableError } from "./call.ts";
import type { WorkflowReference } from "./client.ts";
import { Context, type Jsonify, type Served } from "./context.ts";
import { AtomicError } from "./errors.ts";
import { Connection, type ConnectionOptions, variable } from "./http.ts";
import { parseJson } from "./json.ts";
import { type Verifier, verifier } from "./signatures.ts";

/** Options of endpoints. What is left out comes from the environment. */
export interface EndpointsOptions {
  /**
   * Secrets (`whsec_…`) or public keys (`whpk_…`), one of which must have signed a call (default:
   * `ATOMIC_SIGNING_SECRET`). None: calls are not checked.
   */
  readonly secrets?: readonly string[];
  /** Where Atomic reaches this application, as `https://app.example` (default: `ATOMIC_BASE_URL`, else what was called). */
  readonly baseUrl?: string;
  /** The server that takes the steps of workflows. */
  readonly atomic?: ConnectionOptions;
  /** How long one call of a workflow waits for its steps before it is suspended, in milliseconds (default 15000). */
  readonly waitMs?: number;
  /** Which build of the application this is (default: `ATOMIC_BUILD`). Each answer tells it to Atomic. */
  readonly build?: string;
}

/** A served function; `at(url)` is what a client starts: `url` is that of the folder in which it is served. */
export interface Endpoint<Input, Output> extends Served<Input, Output> {
  readonly at: (url: string) => WorkflowReference<Input, Jsonify<Output>>;
}

type Handler = (call: Call, payload: unknown) => Promise<Response>;

/** Functions that are served below one URL, each under its name. */
export class Endpoints {
  readonly #handlers = new Map<string, Handler>();
  readonly #options: EndpointsOptions;
  #prepared: { verifiers: Verifier[]; connection: Connection; baseUrl: string; build: string } | undefined;

  constructor(options: EndpointsOptions = {}) {
    this.#options = options;
  }

  /** Answers a request: the end of its path is the name of the function. It needs no `this`. */
  readonly fetch = async (request: Request): Promise<Response> => {
    const response = await this.#answer(request);
    const { build } = this.#prepare();
    if (build !== "") {
      response.headers.set("atomic-build", build);
    }
    return response;
  };

  /** Serve a function as a step. It may be called more than once: `call.idempotencyKey` stays the same. */
  step<Input, Output>(
    name: string,
    handler: (payload: Input, call: Call) => Output | Promise<Output>,
  ): Endpoint<Input, Output> {
    return this.#serve(name, async (call, payload) =>
      success(await handler(payload as Input, call), `the result of ${name}`),
    );
  }

  /** Serve a function as a workflow. It is called again and again, and gets the results of the steps that are done. */
  workflow<Input, Output>(
    name: string,
    handler: (context: Context, payload: Input) => Promise<Output>,
  ): Endpoint<Input, Output> {
    return this.#serve(name, async (call, payload) => {
      const context = new Context(call, this.#prepare().connection, this.#options.waitMs ?? 15_000);
      const end = await context.settle(() => handler(context, payload as Input));
      if ("result" in end) {
        return success(end.result, `the result of ${name}`);
      }
      return end.cause === undefined ? suspension(end.waitingFor, "any") : failure(end.cause);
    });
  }

  #serve<Input, Output>(name: string, handler: Handler): Endpoint<Input, Output> {
    if (!/^[\w.~-]+$/.test(name) || this.#handlers.has(name)) {
      throw new TypeError(`${name}: use a name of letters, digits, - . _ ~ that is not served yet`);
    }
    this.#handlers.set(name, handler);
    const at = (url: string): WorkflowReference<Input, Jsonify<Output>> => ({
      workflowName: name,
      url: `${url.replace(/\/+$/, "")}/${name}`,
    });
    return { name, at };
  }

  async #answer(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url);
    const handler = this.#handlers.get(decodeURIComponent(pathname.slice(pathname.lastIndexOf("/") + 1)));
    if (handler === undefined) {
      return new Response(`Nothing is served at ${pathname}.`, { status: 404 });
    }
    if (request.method !== "POST") {
      return new Response("Atomic calls by POST.", { status: 405, headers: { allow: "POST" } });
    }
    try {
      const { verifiers, baseUrl } = this.#prepare();
      const [call, payload] = await readCall(request, {
        verifiers,
        baseUrl,
        parse: this.#options.atomic?.parse ?? parseJson,
      });
      return await handler(call, payload);
    } catch (error) {
      if (isUnexpected(error)) {
        console.error(`${pathname} failed:`, error);
      }
      return failure(error);
    }
  }

  /** What the environment says is read at the first call, when it is complete in every runtime. */
  #prepare(): { verifiers: Verifier[]; connection: Connection; baseUrl: string; build: string } {
    this.#prepared ??= {
      verifiers: (this.#options.secrets ?? variable("ATOMIC_SIGNING_SECRET")?.split(/\s+/) ?? []).map(verifier),
      connection: new Connection(this.#options.atomic),
      baseUrl: (this.#options.baseUrl ?? variable("ATOMIC_BASE_URL") ?? "").replace(/\/+$/, ""),
      build: this.#options.build ?? variable("ATOMIC_BUILD") ?? "",
    };
    return this.#prepared;
  }
}

function isUnexpected(error: unknown): boolean {
  return ![UnreadableError, AtomicError, NonRetryable, RetryAfter].some((kind) => error instanceof kind);
}

/** Functions that are served below one URL. */
export function endpoints(options: EndpointsOptions = {}): Endpoints {
  return new Endpoints(options);
}
