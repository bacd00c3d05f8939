// The statistics of the overview, computed from the newest runs: pure arithmetic, no DOM.

import { ms } from "./format.js";
import { isLive } from "./timeline.js";

const BUCKETS = 36;
const SIZES = [1e3, 5e3, 1e4, 3e4, 6e4, 12e4, 3e5, 6e5, 9e5, 18e5, 36e5, 72e5, 144e5, 216e5, 432e5, 864e5];

/** The percentile of sorted numbers for a share (nearest rank); null without numbers. */
export function quantile(sorted, share) {
  return sorted.length ? sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] : null;
}

/** The number of calls after the first call of each step. */
export function retriesOf(run) {
  const steps = Object.values(run.progress.steps).reduce((sum, number) => sum + number, 0);
  return Math.max(0, run.progress.attempts - steps - 1);
}

/** The runs in equal spans of time up to `now`: `{from, to}` and the summary of each. */
export function bucketsOf(runs, now) {
  if (!runs.length) return [];
  const oldest = Math.min(...runs.map((run) => ms(run.createdAt)));
  const size =
    SIZES.find((each) => (now - oldest) / each <= BUCKETS) ??
    Math.ceil((now - oldest) / BUCKETS / 864e5) * 864e5;
  const first = Math.floor(oldest / size);
  const filled = Array.from({ length: Math.floor(now / size) - first + 1 }, (_, at) => ({
    from: (first + at) * size,
    to: (first + at + 1) * size,
    all: [],
  }));
  for (const run of runs)
    filled[Math.min(filled.length - 1, Math.floor(ms(run.createdAt) / size) - first)].all.push(run);
  return filled.map((bucket) => ({ ...bucket, ...summaryOf(bucket.all) }));
}

/** Counts, failure rate (null without ended runs) and percentiles of duration of some runs. */
export function summaryOf(runs) {
  const succeeded = runs.filter((run) => run.status === "succeeded").length;
  const failed = runs.filter((run) => run.status === "failed").length;
  // The duration of a cancelled run says nothing about its workflow.
  const times = runs
    .filter((run) => run.status === "succeeded" || run.status === "failed")
    .map((run) => ms(run.finishedAt) - ms(run.createdAt))
    .sort((a, b) => a - b);
  return {
    runs: runs.length,
    succeeded,
    failed,
    others: runs.length - succeeded - failed,
    rate: succeeded + failed ? failed / (succeeded + failed) : null,
    p50: quantile(times, 0.5),
    p95: quantile(times, 0.95),
    p99: quantile(times, 0.99),
    retries: runs.reduce((sum, run) => sum + retriesOf(run), 0),
  };
}

/** Each workflow with its summary. */
export function workflowsOf(runs) {
  const byName = Map.groupBy ? Map.groupBy(runs, (run) => run.workflowName) : grouped(runs);
  return [...byName].map(([name, own]) => ({ name, ...summaryOf(own) }));
}

function grouped(runs) {
  const byName = new Map();
  for (const run of runs) byName.set(run.workflowName, [...(byName.get(run.workflowName) ?? []), run]);
  return byName;
}

/** The oldest live run with a call that did not succeed; null when there is none. */
export function oldestRetry(runs) {
  const retrying = runs.filter(
    (run) => isLive(run) && (run.status === "retrying" || run.progress.steps.retrying),
  );
  return retrying.reduce((a, b) => (a && ms(a.createdAt) <= ms(b.createdAt) ? a : b), null);
}
