/** Positions of calls: each call of a handler has one that is the same in every replay. */

import type { Position } from "./identity.ts";

/** Two calls of one step from branches that run side by side: their order may differ between replays. */
export class AmbiguousStepError extends Error {
  /** The stable name of this error. */
  readonly code = "ambiguous-step" as const;
  override readonly name = "AmbiguousStepError";
}

/** A call that has its position. */
export interface Ticket {
  readonly position: Position;
  /** The call has an outcome: calls that are made from now on come after it, in every replay. */
  readonly settled: () => void;
}

/** Numbers the calls of one branch of a handler. */
export class Scope {
  /** Its batch has ended without this branch, so its calls have no effect any more. */
  isLeft = false;
  /** A call of it has been told that the run is cancelled, or it undoes what others did: it calls what is new. */
  isTold: boolean;
  readonly #counts = new Map<string, number>();
  /** The calls of each name that have no outcome, and the turn in which the last one was made. */
  readonly #unsettled = new Map<string, { turn: object; count: number }>();

  /** `path` identifies the branch below `outer`, `label` names it for people; the handler's own has neither. */
  constructor(
    readonly path: readonly string[] = [],
    readonly label: string = "",
    readonly outer?: Scope,
  ) {
    this.isTold = outer?.isTold ?? false;
  }

  /** Whether this is `other`, or a branch below it. */
  isWithin(other: Scope): boolean {
    return this === other || (this.outer?.isWithin(other) ?? false);
  }

  /** Whether it, or a branch above it, was left. */
  get isOver(): boolean {
    return this.isLeft || (this.outer?.isOver ?? false);
  }

  /** Note here and above that the run is cancelled: the branches above get the error as well. */
  tell(): void {
    this.isTold = true;
    this.outer?.tell();
  }

  /**
   * The position of the next call of this name. Throws AmbiguousStepError where an earlier call of it, made in another
   * turn, has no outcome yet: which of them comes first may differ between replays.
   */
  take(name: string, what: string, key?: string): Ticket {
    const named = `${name} /${key ?? ""}`;
    const turn = currentTurn();
    const others = this.#unsettled.get(named);
    if (others !== undefined && others.turn !== turn) {
      throw new AmbiguousStepError(
        `'${what}' is called by several branches side by side, in an order that may change: give each call a key.`,
      );
    }
    const open = { turn, count: (others?.count ?? 0) + 1 };
    this.#unsettled.set(named, open);
    const number = (this.#counts.get(named) ?? 0) + 1;
    this.#counts.set(named, number);
    const settled = (): void => {
      const { count = 0 } = this.#unsettled.get(named) ?? {};
      if (count > 1) {
        this.#unsettled.set(named, { turn, count: count - 1 });
      } else {
        this.#unsettled.delete(named);
      }
    };
    // As in Python, the place of a key is not that of calls that have none.
    const path = key === undefined ? this.path : [...this.path, ""];
    return { position: { path, key: key ?? null, number }, settled };
  }
}

let known: object | undefined;

/** The calls that are made without anything in between have one turn. */
function currentTurn(): object {
  if (known === undefined) {
    known = {};
    queueMicrotask(() => {
      known = undefined;
    });
  }
  return known;
}
