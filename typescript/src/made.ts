/** What only some calls of a handler need: a post without a wait, a record, a cancel, the end of a branch. */

import { type Answer, type Calls, isSame, type Made, type Manner, type Planned } from "./calls.ts";
import { type CoreContext, here } from "./core_context.ts";
import { pause, read } from "./http.ts";
import type { Position } from "./identity.ts";
import { Scope } from "./scope.ts";

const PATIENCE_MS = 2000;
const UNDER_WAY_MS = 1000;

/** Post a step without waiting for it. Resolves to the server's document, or to what is known of the step. */
export async function begin(
  calls: Calls,
  scope: Scope,
  plan: () => Planned,
  manner: Manner = {},
): Promise<Readonly<Record<string, unknown>>> {
  const begun = async (made: Made): Promise<Answer> => {
    const known = calls.results.get(made.id);
    // An event is opened once, whatever has become of it.
    if (known?.kind === "event" || (known && known.status !== "failed" && (await isSame(known, made)))) {
      return { endedAt: "", response: known };
    }
    await calls.tellIfCancelled(scope, made);
    const answer = await calls.post(made, made.payload, { prefer: "respond-async" });
    // The outcome of one that has failed is no error here: the call that waits for it rejects.
    return { endedAt: "", response: answer.status === 424 ? answer.document : read(calls.connection, answer) };
  };
  calls.hasLeft = true;
  return (await calls.numbered(scope, plan, manner, begun)).response as Record<string, unknown>;
}

/** The value that an earlier attempt recorded at a position; undefined if none did. */
export async function recorded(calls: Calls, planned: Planned, position: Position): Promise<unknown> {
  const { id } = await calls.make(planned, position);
  const known = await calls.results.find(id);
  return known?.status === "succeeded" ? known.response : undefined;
}

/** Cancel a step that the handler does not wait for. One that has ended stays as it is. */
export async function cancel({ connection, open, headers }: Calls, id: string): Promise<void> {
  open.delete(id);
  const path = connection.path("steps", id, "cancel");
  const request = { method: "POST", path, body: "{}", headers, patienceMs: PATIENCE_MS } as const;
  // Its post may be under way.
  for (let pauseMs = 50; (await connection.exchange(request)).status === 404 && pauseMs < UNDER_WAY_MS; pauseMs *= 2) {
    await pause(pauseMs);
  }
}

/** The batch of these branches has ended: their calls have no effect, and nothing waits for their steps. */
export function leave(calls: Calls, scopes: readonly Scope[]): string[] {
  for (const scope of scopes) {
    scope.isLeft = true;
  }
  const left = [...calls.open].filter((id) => calls.called.get(id)?.isOver);
  for (const id of left) {
    calls.open.delete(id);
    calls.hasLeft = true;
  }
  return left;
}

/** A branch below another one; `label` names its steps for people. */
export function below(outer: Scope, part: string, label: string = outer.label): Scope {
  return new Scope([...outer.path, part], label, outer);
}

// The longest name of a step.
const NAME_MAX = 255;

/** The name of a step for people; the steps of a named branch are shown with its name. */
export function labelled(context: CoreContext, name: string): string {
  const { label } = here(context);
  return label === "" ? name : `${label}: ${name}`.slice(0, NAME_MAX);
}

/** A call that may fail before it is awaited: that would end the process of the application. */
export function told<Result>(call: Promise<Result>): Promise<Result> {
  call.catch(() => undefined);
  return call;
}
