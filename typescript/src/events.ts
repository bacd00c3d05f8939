/** Events that a workflow opens before it waits for them, and the URLs by which others complete them. */

import { NonRetryable } from "./answers.ts";
import { refused } from "./batches.ts";
import type { Calls, Planned } from "./calls.ts";
import { type CoreContext, here, type Served } from "./core_context.ts";
import { type Duration, milliseconds } from "./durations.ts";
import { StepFailedError } from "./errors.ts";
import type { Position } from "./identity.ts";
import { begin, below } from "./made.ts";
import type { Scope } from "./scope.ts";
import { within } from "./strands.ts";

/** How long an event is waited for. */
export interface EventOptions<Default = never> {
  /** After this time without a result, the call gives `default`, or rejects with `event-expired`. */
  readonly deadline?: Duration;
  /** After this time without a heartbeat, it gives `default`, or rejects with `heartbeat-missed`. */
  readonly heartbeat?: Duration;
  readonly default?: Default;
}

/** The limits of an event, and what its result keeps of a request to its callback URL. */
export interface OpenOptions {
  readonly deadline?: Duration;
  readonly heartbeat?: Duration;
  /** Names of headers, 8 at most: the result then has these `headers`, and the `body` as it was sent. */
  readonly capture?: readonly string[];
}

/** An event that is open. */
export interface OpenedEvent {
  /** Its id, for `client.complete`. */
  readonly id: string;
  /** The URL by which a third party completes it, without an API key; `undefined` if the server gives none. */
  readonly url: string | undefined;
}

/** Options of a callback: those of its event. */
export interface CallbackOptions<Default = never> extends OpenOptions {
  readonly default?: Default;
}

interface Opened {
  readonly name: string;
  readonly scope: Scope;
  readonly position: Position;
  readonly options: OpenOptions;
}

// The events of each attempt of a handler that were opened, and that no call waits for.
const openedOf = new WeakMap<Calls, Opened[]>();

/** Open an event. */
export function openEvent(context: CoreContext, name: string, options: OpenOptions): Promise<OpenedEvent> {
  const scope = here(context);
  const { position, settled } = scope.take(`event ${name}`, name);
  const opened = openedOf.get(context.calls) ?? [];
  openedOf.set(context.calls, [...opened, { name, scope, position, options }]);
  settled();
  return open(context, { name, scope, position, options });
}

/** Wait for an event: the oldest one of this name that was opened, the nearest branch's first; else another one. */
export function awaitEvent<Default>(
  context: CoreContext,
  name: string,
  options: EventOptions<Default>,
): Promise<unknown | Default> {
  const scope = here(context);
  const all = openedOf.get(context.calls) ?? [];
  const [taken] = all
    .filter((each) => each.name === name && scope.isWithin(each.scope))
    .sort((one, other) => other.scope.path.length - one.scope.path.length);
  if (taken === undefined) {
    return orDefault(
      context.perform(() => eventPlan(context, name, options)),
      options,
    );
  }
  openedOf.set(
    context.calls,
    all.filter((each) => each !== taken),
  );
  for (const limit of ["deadline", "heartbeat"] as const) {
    if (options[limit] !== undefined && taken.options[limit] !== undefined && options[limit] !== taken.options[limit]) {
      const refusal = new NonRetryable(
        `event '${name}': openEvent gave it another ${limit}, which counts from there. Give it in one place.`,
      );
      context.calls.suspend(refusal);
    }
  }
  const changesLive = (options.deadline ?? options.heartbeat) !== undefined;
  return orDefault(waitFor(context, taken, { ...taken.options, ...options }, changesLive), options);
}

/** Open an event, let a step hand its URL to a third party, and wait for its result. */
export async function callback<Context extends CoreContext, Default>(
  context: Context,
  name: string,
  submit: Served<string> | string | ((url: string, context: Context) => unknown),
  options: CallbackOptions<Default>,
  branch: (scope: Scope) => Context,
): Promise<unknown | Default> {
  const scope = here(context);
  const { position, settled } = scope.take(`event ${name}`, name);
  const branched = below(scope, `callback${position.number}:${name}`);
  settled();
  const opened = { name, scope, position, options };
  const { url } = await open(context, opened);
  if (url === undefined) {
    throw new NonRetryable(
      "The server gave no callback URL. It is older, or callbacks are switched off for this client (`atomic clients callbacks ID on`).",
    );
  }
  const own = branch(branched);
  if (typeof submit === "function") {
    await within(branched, async () => submit(url, own));
  } else {
    await own.step(submit as string, url);
  }
  return orDefault(waitFor(context, opened, options, false), options);
}

async function open(context: CoreContext, { name, scope, position, options }: Opened): Promise<OpenedEvent> {
  const plan = eventPlan(context, name, options, options.capture && { capture: options.capture });
  const { calls } = context;
  const answer = await begin(calls, scope, () => plan, { position });
  const url = answer.callbackUrl as string | null | undefined;
  // A URL without its server is of the server that the handler posts to.
  return { id: answer.id as string, url: url?.startsWith("/") ? calls.connection.url + url : url || undefined };
}

async function waitFor(
  context: CoreContext,
  { name, scope, position }: Opened,
  options: EventOptions<unknown>,
  changesLive: boolean,
): Promise<unknown> {
  const plan = eventPlan(context, name, options);
  return (await context.calls.perform(scope, () => plan, { position, changesLive })).response;
}

/**
 * An event of the handler. Outside of branches, others address it by its name and number. Branches ask in any order, so
 * others know their events by the ids only.
 */
function eventPlan(
  context: CoreContext,
  name: string,
  { deadline, heartbeat }: EventOptions<unknown>,
  more: Readonly<Record<string, unknown>> = {},
): Planned {
  const document: Record<string, unknown> = { kind: "event", stepName: name, ...more };
  for (const [member, limit] of Object.entries({ deadline, heartbeat })) {
    if (limit !== undefined) {
      document[member] = milliseconds(member, limit);
    }
  }
  if (/^$|#\d+$/.test(name)) {
    throw refused(`event: '${name}' is empty, or ends like the number of an event.`);
  }
  const completed = ({ path, number }: Position): Partial<Planned> =>
    path.length > 0
      ? {}
      : {
          document: { ...document, stepName: number === 1 ? name : `${name}#${number}` },
          idempotencyKey: context.idempotencyKey,
        };
  return { what: name, called: "event", document, completed };
}

/** The result of an event; its default when it has expired. */
async function orDefault<Result, Default>(
  result: Promise<Result>,
  options: EventOptions<Default>,
): Promise<Result | Default> {
  try {
    return await result;
  } catch (error) {
    const isExpired = error instanceof StepFailedError && /^(event-expired|heartbeat-missed)$/.test(error.code);
    if (isExpired && "default" in options) {
      return options.default as Default;
    }
    throw error;
  }
}
