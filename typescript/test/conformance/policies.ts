/** Policies of batches whose items run one after the other, and how the batches end. */

import type { Batch, BatchOptions } from "../../src/index.ts";

/** Why a batch ended, and how many of its items have succeeded, failed and not been started. */
export type Summary = readonly [Batch<unknown>["endedBy"], number, number, number];

export interface Policy {
  readonly items: readonly string[];
  readonly options: BatchOptions;
  readonly ends: Summary;
}

type Name = "failFast" | "enough" | "tolerated" | "exceeded" | "share" | "just" | "failed" | "never" | "both";

export const POLICIES: Readonly<Record<Name, Policy>> = {
  failFast: { items: ["a", "bad1", "c"], options: { toleratedFailures: 0 }, ends: ["failures_exceeded", 1, 1, 1] },
  enough: { items: ["a", "b", "c", "d"], options: { minSuccessful: 2 }, ends: ["min_successful", 2, 0, 2] },
  tolerated: { items: ["a", "bad1", "c"], options: { toleratedFailures: 1 }, ends: ["all_completed", 2, 1, 0] },
  exceeded: { items: ["bad1", "bad2", "c"], options: { toleratedFailures: 1 }, ends: ["failures_exceeded", 0, 2, 1] },
  share: {
    items: ["bad1", "bad2", "c", "d"],
    options: { toleratedFailures: "25%" },
    ends: ["failures_exceeded", 0, 2, 2],
  },
  just: { items: ["bad1", "b", "c", "d"], options: { toleratedFailures: "25%" }, ends: ["all_completed", 3, 1, 0] },
  failed: { items: ["bad1", "bad2", "bad3"], options: { toleratedFailures: 3 }, ends: ["all_completed", 0, 3, 0] },
  never: { items: ["a", "bad1", "c"], options: { minSuccessful: 3 }, ends: ["all_completed", 2, 1, 0] },
  both: {
    items: ["bad1", "bad2", "c", "d"],
    options: { minSuccessful: 3, toleratedFailures: 1 },
    ends: ["failures_exceeded", 0, 2, 2],
  },
};

export function summary({ endedBy, items }: Batch<unknown>): Summary {
  const count = (wanted: string): number => items.filter(({ status }) => status === wanted).length;
  return [endedBy, count("succeeded"), count("failed"), count("not_started")];
}

/** The items that such a batch starts, one after the other. */
export function started({ items, ends }: Policy): readonly string[] {
  return items.slice(0, items.length - ends[3]);
}
