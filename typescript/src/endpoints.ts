/** Functions as endpoints, on the web's own Request and Response. */

import { failure, NonRetryable, RetryAfter, success } from "./answers.ts";
import { type Call, type Check, readCall, UnreadableError } from "./call.ts";
import { Calls, type End, type Logger } from "./calls.ts";
import type { WorkflowReference } from "./client.ts";
import type { CoreContext, Jsonify, Served } from "./core_context.ts";
import { AtomicError, CancelledError } from "./errors.ts";
import { Connection, type ConnectionOptions, variable } from "./http.ts";
import { parseJson } from "./json.ts";
import type { Scope } from "./scope.ts";

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
  /**
   * How long one call of a workflow waits for its steps before it is suspended, in milliseconds (default: 15000; on
   * Vercel 8000, since its functions end early; on Lambda 1000, since each waiting call is paid for).
   */
  readonly waitMs?: number;
  /** Which build of the application this is (default: `ATOMIC_BUILD`). Each answer tells it to Atomic. */
  readonly build?: string;
  /** Where `ctx.logger` writes (default: `console`). */
  readonly logger?: Logger;
}

/** A served function; `at(url)` is what a client starts: `url` is that of the folder in which it is served. */
export interface Endpoint<Input, Output> extends Served<Input, Output> {
  readonly at: (url: string) => WorkflowReference<Input, Jsonify<Output>>;
  /**
   * Of a workflow: run its handler once.
   * @internal
   */
  readonly run?: (calls: Calls, payload: unknown) => Promise<End<Output>>;
}

interface Prepared {
  readonly check: Check | undefined;
  readonly connection: Connection;
  readonly baseUrl: string;
  readonly build: string;
  readonly waitMs: number;
}

type Handler = (call: Call, payload: unknown, ready: Prepared) => Promise<Response>;

/** What the workflows of an application are called with. */
export type ContextOf<Context extends CoreContext> = new (calls: Calls, scope: Scope) => Context;

/** Functions that are served below one URL, each under its name. */
export class Endpoints<Context extends CoreContext = CoreContext> {
  readonly #handlers = new Map<string, Handler>();
  readonly #context: ContextOf<Context>;
  readonly #options: EndpointsOptions;
  #prepared: Promise<Prepared> | undefined;

  /** @internal */
  constructor(context: ContextOf<Context>, options: EndpointsOptions) {
    this.#context = context;
    this.#options = options;
  }

  /** Answers a request: the end of its path is the name of the function. It needs no `this`. */
  readonly fetch = async (request: Request): Promise<Response> => {
    this.#prepared ??= prepared(this.#options);
    const ready = await this.#prepared;
    const response = await this.#answer(request, ready);
    const { build } = ready;
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
    return this.#serve(name, async (call, payload) => {
      if (call.isCancelled) {
        return failure(new CancelledError("run-cancelled", "A step has nothing to undo."), true);
      }
      return success(await handler(payload as Input, call), `the result of ${name}`);
    });
  }

  /** Serve a function as a workflow. It is called again and again, and gets the results of the steps that are done. */
  workflow<Input, Output>(
    name: string,
    handler: (context: Context, payload: Input) => Promise<Output>,
  ): Endpoint<Input, Output> {
    const run = (calls: Calls, payload: unknown): Promise<End<Output>> => {
      const context = new this.#context(calls, calls.root);
      return calls.settle(async () => handler(context, payload as Input));
    };
    const served = this.#serve<Input, Output>(name, async (call, payload, ready) => {
      const calls = new Calls(call, ready.connection, ready.waitMs, this.#options.logger);
      try {
        const end = await run(calls, payload);
        if ("result" in end) {
          return success(end.result, `the result of ${name}`);
        }
        return end.cause === undefined ? calls.suspended() : failure(end.cause);
      } catch (error) {
        return this.#failed(error, call);
      }
    });
    return { ...served, run };
  }

  /**
   * The same functions under other options.
   * @internal
   */
  with(options: EndpointsOptions): Endpoints<Context> {
    const same = new Endpoints(this.#context, { ...this.#options, ...options });
    for (const [name, handler] of this.#handlers) {
      same.#handlers.set(name, handler);
    }
    return same;
  }

  #serve<Input, Output>(name: string, handler: Handler): Endpoint<Input, Output> {
    if (!/^[\w.~-]+$/.test(name) || this.#handlers.has(name)) {
      throw new TypeError(`${name}: use letters, digits, - . _ ~, and each name once`);
    }
    this.#handlers.set(name, handler);
    const at = (url: string): WorkflowReference<Input, Jsonify<Output>> => ({
      workflowName: name,
      url: `${url.replace(/\/+$/, "")}/${name}`,
    });
    return { name, at };
  }

  async #answer(request: Request, ready: Prepared): Promise<Response> {
    const { pathname } = new URL(request.url);
    const handler = this.#handlers.get(pathname.slice(pathname.lastIndexOf("/") + 1));
    if (handler === undefined) {
      return new Response(`Nothing is served at ${pathname}.`, { status: 404 });
    }
    if (request.method !== "POST") {
      return new Response("Atomic calls by POST.", { status: 405, headers: { allow: "POST" } });
    }
    try {
      const { check, baseUrl } = ready;
      const parse = this.#options.atomic?.parse ?? parseJson;
      const [call, payload] = await readCall(request, { check, baseUrl, parse });
      return await handler(call, payload, ready);
    } catch (error) {
      return this.#failed(error);
    }
  }

  #failed(error: unknown, call?: Call): Response {
    if (![UnreadableError, AtomicError, NonRetryable, RetryAfter].some((kind) => error instanceof kind)) {
      console.error(`A handler of step ${call?.stepId ?? "?"} failed:`, error);
    }
    return failure(error, call?.isCancelled);
  }
}

/** What the environment says is read at the first call, when it is complete in every runtime. */
async function prepared(options: EndpointsOptions): Promise<Prepared> {
  const secrets = options.secrets ?? variable("ATOMIC_SIGNING_SECRET")?.split(/\s+/) ?? [];
  return {
    check: secrets.length === 0 ? undefined : await checkBy(secrets),
    connection: new Connection(options.atomic),
    baseUrl: (options.baseUrl ?? variable("ATOMIC_BASE_URL") ?? "").replace(/\/+$/, ""),
    build: options.build ?? variable("ATOMIC_BUILD") ?? "",
    waitMs: options.waitMs ?? (variable("VERCEL") ? 8000 : variable("AWS_LAMBDA_FUNCTION_NAME") ? 1000 : 15_000),
  };
}

/** The check of signatures is loaded only where calls are checked. */
async function checkBy(secrets: readonly string[]): Promise<Check> {
  const { verifier, verify } = await import("./signatures.ts");
  const verifiers = secrets.map(verifier);
  return (call, path) => verify(verifiers, call, path, Date.now() / 1000);
}
