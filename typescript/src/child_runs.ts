/** Runs that a workflow starts: each is listed, limited, cancelled and forgotten on its own. */

import { NonRetryable } from "./answers.ts";
import { refused } from "./batches.ts";
import { type Made, never, type Planned } from "./calls.ts";
import { canonicalJson } from "./canonical.ts";
import { type RootOptions, type StepOptions, stepMembers, type WorkflowReference } from "./client.ts";
import { addressed, type CoreContext, here, type Served } from "./core_context.ts";
import { CancelledError } from "./errors.ts";
import { type Position, runId, scopedKey, sha256 } from "./identity.ts";
import { begin, cancel, labelled, told } from "./made.ts";
import { isLive } from "./results.ts";

/** Options of a run that a workflow starts. */
export interface RunOptions extends StepOptions, RootOptions {
  /** The name of the run in lists (default: the name of the function; a URL needs it). */
  readonly workflowName?: string;
  /** With `workflowName`, says which run this is. One that exists is not started again (default: a key of this call). */
  readonly key?: string;
  /** The name of the call for people (default: `workflowName`). */
  readonly name?: string;
  /** What becomes of the run when this workflow or the call is cancelled (default `cancel`). */
  readonly onCancel?: "cancel" | "keep";
  /** Whether nothing waits for the run and nothing cancels it. */
  readonly detached?: boolean;
}

/** A run that a workflow has started. */
export interface RunHandle<Result> {
  readonly runId: string;
  /** Wait for the outcome of the run, as for a step; of one that goes on as another, that of the last run. */
  result(): Promise<Result>;
  /** Cancel the call, and the run if the call has started it and does not keep it. */
  cancel(): Promise<void>;
}

/** A workflow that is served beside the one that starts it, a reference to one of elsewhere, or a URL. */
export type Startable = Served | WorkflowReference | string;

const KEY_MAX = 255;

/** Start a run, and wait until it is on record. */
export async function startRun(
  context: CoreContext,
  workflow: Startable,
  payload: unknown,
  options: RunOptions,
): Promise<RunHandle<unknown>> {
  const plan = runPlan(context, workflow, payload, options);
  const scope = here(context);
  const { calls } = context;
  const { document, what } = plan;
  const { position, settled } = scope.take(`${plan.called} ${document.stepName ?? ""}`, what, options.key);
  const attached = (): void => {
    if (options.detached) {
      throw refused(`run ${run} is detached: nothing waits for it, and nothing cancels it.`);
    }
  };
  try {
    if (options.detached) {
      await calls.perform(scope, () => plan, { position });
    } else {
      await begin(calls, scope, () => plan, { position });
    }
  } catch (error) {
    // `result` rejects for a link that is cancelled, as it does for one that is cancelled later.
    if (!(error instanceof CancelledError && error.code === "step-cancelled") || options.detached) {
      throw error;
    }
  } finally {
    settled();
  }
  const { id, run } = (await calls.make(plan, position)) as Made & { readonly run: string };
  return {
    runId: run,
    result: () => {
      const ended = async (): Promise<unknown> => {
        attached();
        return (await calls.perform(scope, () => plan, { position })).response;
      };
      return told(ended());
    },
    cancel: async () => {
      attached();
      const known = calls.results.get(id);
      if (known === undefined || isLive(known)) {
        await calls.doing(() => cancel(calls, id));
      }
    },
  };
}

/** Start a run, and wait for its outcome. */
export async function runWorkflow(
  context: CoreContext,
  workflow: Startable,
  payload: unknown,
  options: RunOptions,
): Promise<unknown> {
  return context.perform(() => runPlan(context, workflow, payload, options), { key: options.key });
}

/** Go on as a new run of this workflow, and end this one. It never settles. */
export async function continueAs(context: CoreContext, payload: unknown, key?: string): Promise<never> {
  const { calls, workflowName, stepId, idempotencyKey } = context;
  const { call, connection } = calls;
  if (!stepId.endsWith("-root")) {
    const refusal = new NonRetryable(
      "continueAs: this workflow is a step of another one, and only a whole run can go on as another run. Let the caller use `startRun`.",
    );
    calls.suspend(refusal);
  }
  const next = key ?? (await nextKey(idempotencyKey, call.continuedFrom !== undefined));
  const document = { stepInvokeUrl: call.url, parent: undefined, continues: stepId };
  const written = canonicalJson(payload, "the payload of continueAs");
  const plan = { what: "continueAs", called: call.url, document, payload: written, idempotencyKey: next };
  const position = { path: ["continueAs"], key: null, number: 1 };
  try {
    await begin(calls, here(context), () => plan, { position });
  } catch (error) {
    // A next run that was cancelled since an earlier attempt is the next run nevertheless.
    if (!(error instanceof CancelledError) || call.isCancelled) {
      throw error;
    }
  }
  const root = `${await runId(connection.clientId, workflowName, next)}-root`;
  calls.suspend(new Response(null, { status: 202, headers: { "atomic-continue-as": root } }));
  return never();
}

/** The link to a run. Without a key, the run gets one that is made of the link's identity. */
function runPlan(
  context: CoreContext,
  workflow: Startable,
  payload: unknown,
  options: RunOptions,
): Planned & { readonly run?: string } {
  const isReference = typeof workflow === "object" && "workflowName" in workflow;
  const { name: known, url } = addressed(context, isReference ? workflow.url : workflow);
  const own = isReference ? workflow.workflowName : typeof workflow === "string" ? "" : known;
  const workflowName = options.workflowName ?? own;
  if (workflowName === "") {
    throw refused(`workflowName: say how the run of ${known} is named in lists.`);
  }
  const isShown = options.name !== undefined || here(context).label !== "";
  const stepName = isShown ? labelled(context, options.name ?? workflowName) : "";
  const { clientId } = context.calls.connection;
  const { singleton, debounce, tags } = options;
  const document = {
    kind: "run",
    stepInvokeUrl: url,
    singleton,
    debounce,
    tags,
    ...(isShown && { stepName }),
    ...(options.onCancel && { onCancel: options.onCancel }),
    ...(options.detached && { detached: true }),
    ...stepMembers(options),
  };
  const completed = async (_: Position, ownKey: string): Promise<Partial<Planned> & { run: string }> => {
    const identity = [clientId, context.workflowName, context.stepId, workflowName, stepName, ownKey];
    const idempotencyKey = options.key ?? (await scopedKey(context.idempotencyKey, ...identity));
    const run = await runId(clientId, workflowName, idempotencyKey);
    const called = options.detached ? `${run} detached` : run;
    return { run, called, document: { ...document, run: { workflowName, idempotencyKey } } };
  };
  const what = stepName || workflowName;
  return {
    what,
    called: `run ${workflowName}`,
    document,
    payload: canonicalJson(payload, `the payload of ${what}`),
    completed,
  };
}

/** The key of the run after the one with this key: `order/2` after `order`, then `order/3`. */
export async function nextKey(key: string, isNext: boolean): Promise<string> {
  const number = isNext ? /\/(\d+)$/.exec(key) : null;
  const ofAll = number === null ? key : key.slice(0, number.index);
  const nextNumber = number === null ? 2 : Number(number[1]) + 1;
  const following = `${ofAll}/${nextNumber}`;
  return following.length <= KEY_MAX
    ? following
    : `${ofAll.slice(0, 200)}-${(await sha256(ofAll)).slice(-16)}/${nextNumber}`;
}
