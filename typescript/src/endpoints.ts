/** Functions as endpoints, on the web's own Request and Response. */

import { failure, NonRetryable, RetryAfter, success } from "./answers.ts";
import { type Call, type Check, readCall, UnreadableError } from "./call.ts";
import { Calls, type End, type Logger } from "./calls.ts";
import type { WorkflowReference } from "./client.ts";
import type { CoreContext, Jsonify, Served } from "./core_context.ts";
import { AtomicError, CancelledError } from "./errors.ts";
import { Connection, type ConnectionOptions, variable } from "./http.ts";
import { parseJson } from "./json.ts";
import type { Schema, Schemas } from "./schemas.ts";
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

/** What a request is answered by, once it is read. */
export type Answer = (call: Call, payload: unknown, ready: Prepared) => Promise<Response>;
type Handler = (call: Call, payload: unknown, ready: Prepared) => Promise<Response | { readonly result: unknown }>;
type Given<Function> = [Function] | [Schemas, Function];

/** A function that is served as a step. */
export type Step<Input, Output> = (payload: Input, call: Call) => Output | Promise<Output>;

/** A function that is served as a workflow. */
export type Workflow<Context, Input, Output> = (context: Context, payload: Input) => Promise<Output>;

/** What the workflows of an application are called with. */
export type ContextOf<Context extends CoreContext> = new (calls: Calls, scope: Scope) => Context;

/** Functions that are served below one URL, each under its name. */
export class Endpoints<Context extends CoreContext = CoreContext> {
  #prepared: Promise<Prepared> | undefined;

  /** @internal */
  constructor(
    readonly context: ContextOf<Context>,
    readonly options: EndpointsOptions,
    readonly handlers: Map<string, Answer> = new Map(),
  ) {}

  /** Answers a request: the end of its path is the name of the function. It needs no `this`. */
  readonly fetch = async (request: Request): Promise<Response> => {
    this.#prepared ??= prepared(this.options);
    const ready = await this.#prepared;
    const response = await this.#answer(request, ready);
    const { build } = ready;
    if (build !== "") {
      response.headers.set("atomic-build", build);
    }
    return response;
  };

  /**
   * Serve a function as a step. It may be called more than once: `call.idempotencyKey` stays the same. A payload or a
   * result that does not fit its schema fails the step at once.
   */
  step<Input, Output>(name: string, handler: Step<Input, Output>): Endpoint<Input, Output>;
  step<Parsed, Result, Input = Parsed, Output = Result>(
    name: string,
    schemas: Schemas<Input, Parsed, Result, Output>,
    handler: Step<Parsed, Result>,
  ): Endpoint<Input, Output>;
  step(name: string, ...given: Given<Step<unknown, unknown>>): Endpoint<unknown, unknown> {
    const [handler, schemas = {}] = given.reverse() as [Step<unknown, unknown>, Schemas?];
    return this.#serve(name, schemas, async (call, payload) => {
      if (call.isCancelled) {
        throw new CancelledError("run-cancelled", "Nothing to undo.");
      }
      return { result: await handler(payload, call) };
    });
  }

  /** Serve a function as a workflow. It is called again and again, and gets the results of the steps that are done. */
  workflow<Input, Output>(name: string, handler: Workflow<Context, Input, Output>): Endpoint<Input, Output>;
  workflow<Parsed, Result, Input = Parsed, Output = Result>(
    name: string,
    schemas: Schemas<Input, Parsed, Result, Output>,
    handler: Workflow<Context, Parsed, Result>,
  ): Endpoint<Input, Output>;
  workflow(name: string, ...given: Given<Workflow<Context, unknown, unknown>>): Endpoint<unknown, unknown> {
    const [handler, schemas = {}] = given.reverse() as [Workflow<Context, unknown, unknown>, Schemas?];
    const run = (calls: Calls, payload: unknown): Promise<End<unknown>> => {
      const context = new this.context(calls, calls.root);
      return calls.settle(async () => handler(context, payload));
    };
    const served = this.#serve(name, schemas, async (call, payload, ready) => {
      const calls = new Calls(call, ready.connection, ready.waitMs, this.options.logger);
      const end = await run(calls, payload);
      return "result" in end ? end : end.cause === undefined ? calls.suspended() : failure(end.cause);
    });
    return { ...served, run: async (calls, payload) => run(calls, await fitted(schemas.input, payload, "payload")) };
  }

  #serve(name: string, schemas: Schemas, handler: Handler): Endpoint<unknown, unknown> {
    if (!/^[\w.~-]+$/.test(name) || this.handlers.has(name)) {
      throw new TypeError(`${name}: use letters, digits, - . _ ~, and each name once`);
    }
    this.handlers.set(name, async (call, payload, ready) => {
      try {
        const end = await handler(call, await fitted(schemas.input, payload, "payload"), ready);
        return "result" in end
          ? success(await fitted(schemas.output, end.result, "result"), `the result of ${name}`)
          : end;
      } catch (error) {
        return failed(error, call);
      }
    });
    return { name, at: (url) => ({ workflowName: name, url: `${url.replace(/\/+$/, "")}/${name}` }) };
  }

  async #answer(request: Request, ready: Prepared): Promise<Response> {
    const { pathname } = new URL(request.url);
    const handler = this.handlers.get(pathname.slice(pathname.lastIndexOf("/") + 1));
    if (handler === undefined) {
      return new Response("Not served here.", { status: 404 });
    }
    if (request.method !== "POST") {
      return new Response("Use POST.", { status: 405, headers: { allow: "POST" } });
    }
    try {
      const { check, baseUrl } = ready;
      const parse = this.options.atomic?.parse ?? parseJson;
      const [call, payload] = await readCall(request, { check, baseUrl, parse });
      return await handler(call, payload, ready);
    } catch (error) {
      return failed(error);
    }
  }
}

function failed(error: unknown, call?: Call): Response {
  if (![UnreadableError, AtomicError, NonRetryable, RetryAfter, Response].some((kind) => error instanceof kind)) {
    console.error(call?.stepId, error);
  }
  return failure(error, call?.isCancelled);
}

/** What a schema makes of a value. What does not fit ends the step: another attempt would be sent the same. */
async function fitted(schema: Schema | undefined, given: unknown, what: "payload" | "result"): Promise<unknown> {
  if (!schema) {
    return given;
  }
  const { value, misfit } = await (await import("./schemas.ts")).validated(schema, given, what);
  if (misfit) {
    throw what === "payload" ? new UnreadableError(400, misfit) : new NonRetryable(misfit);
  }
  return value;
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
