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

/** An event that is open. Its `id` is the same in each call of the handler, for `complete` of an `EventClient`. */
export class OpenedEvent {
  readonly #url: string;

  /** @internal */
  constructor(
    readonly id: string,
    url: string,
  ) {
    this.#url = url;
  }

  /**
   * The URL by which a third party completes or rejects it, without an API key; the same in each call of the handler.
   * Throws NonRetryable when the server gives none.
   */
  get url(): string {
    if (this.#url === "") {
      throw new NonRetryable(
        "The server gave no callback URL. It is older, or callbacks are switched off for this client (`atomic clients callbacks ID on`).",
      );
    }
    return this.#url;
  }
}

/** How long each message is waited for. */
export interface EventsOptions {
  /** When it is over, the loop ends (default: never). */
  readonly deadline?: Duration;
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

/**
 * Wait for an event: the oldest one of this name that was opened and that no call waits for; else another one. Those of
 * the branch itself come first, then those of the branches above it, the nearest first.
 */
export function awaitEvent<Default>(
  context: CoreContext,
  name: string,
  options: EventOptions<Default>,
): Promise<unknown | Default> {
  const scope = here(context);
  const all = openedOf.get(context.calls) ?? [];
  const [taken] = all.filter((each) => each.name === name).sort(nearestTo(scope));
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
  let changesLive = false;
  for (const limit of ["deadline", "heartbeat"] as const) {
    const [given, before] = [options[limit], taken.options[limit]];
    // A limit that the event was opened without counts from the first post that has it.
    changesLive ||= given !== undefined && before === undefined;
    if (given !== undefined && before !== undefined && milliseconds(limit, given) !== milliseconds(limit, before)) {
      const refusal = new NonRetryable(
        `event '${name}': openEvent gave it another ${limit}, which counts from there. Give it in one place.`,
      );
      context.calls.suspend(refusal);
    }
  }
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
  settled();
  const own = scope.take(`callback ${name}`, name);
  own.settled();
  const branched = below(scope, `callback${own.position.number}:${name}`);
  const opened = { name, scope, position, options };
  const { url } = await open(context, opened);
  const branchContext = branch(branched);
  if (typeof submit === "function") {
    await within(branched, async () => submit(url, branchContext));
  } else {
    await branchContext.step(submit as string, url);
  }
  return orDefault(waitFor(context, opened, options, false), options);
}

/** Wait for one event of a name after the other, until `deadline` passes without one. */
export function events(
  context: CoreContext,
  name: string,
  { deadline }: EventsOptions,
): AsyncIterableIterator<unknown> {
  const end = {};
  let isOver = false;
  const messages: AsyncIterableIterator<unknown> = {
    [Symbol.asyncIterator]: () => messages,
    // A generator would be over after a rejected event; the next message is still waited for.
    next: async () => {
      const options = deadline === undefined ? {} : { deadline, default: end };
      const value = isOver ? end : await awaitEvent(context, name, options);
      isOver = value === end;
      return isOver ? { done: true, value: undefined } : { done: false, value };
    },
  };
  return messages;
}

async function open(context: CoreContext, { name, scope, position, options }: Opened): Promise<OpenedEvent> {
  const plan = eventPlan(context, name, options, options.capture && { capture: options.capture });
  const { calls } = context;
  const answer = await begin(calls, scope, () => plan, { position });
  const url = answer.callbackUrl as string | null | undefined;
  // A URL without its server is of the server that the handler posts to.
  return new OpenedEvent(answer.id as string, url?.startsWith("/") ? calls.connection.url + url : (url ?? ""));
}

/** The order in which a branch waits for opened events. That of other branches says nothing of when they ran. */
function nearestTo({ path }: Scope): (one: Opened, other: Opened) => number {
  const place = ({ scope: { path: of }, position }: Opened): (number | string)[] => {
    const isAbove = of.every((part, at) => part === path[at]);
    return [isAbove ? path.length - of.length : Number.POSITIVE_INFINITY, of.join("\n"), position.number];
  };
  return (one, other) => {
    const [first, second] = [place(one), place(other)];
    const at = first.findIndex((part, index) => part !== second[index]);
    return (first[at] ?? 0) < (second[at] ?? 0) ? -1 : 1;
  };
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
  { deadline, heartbeat, ...rest }: EventOptions<unknown>,
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
  if ("default" in rest && deadline === undefined && heartbeat === undefined) {
    throw refused(`event '${name}': a default is for the end of a deadline; give one.`);
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
