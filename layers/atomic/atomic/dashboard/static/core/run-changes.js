// A run that is read again and again: first all of it, then only the steps that changed. Steps that did not
// change stay the same objects, and so does a run in which nothing changed.

const STEPS_PAGE = 1000;

/** Read a run by `read(query)` and `readNext(path)`. `before` is this run as it was read last, or null. */
export async function readRun(read, before, readNext) {
  if (!before?.revision) return wholeRun(await read({ limit: STEPS_PAGE }), readNext);
  const answer = await read({ limit: STEPS_PAGE, since: before.revision });
  if (!answer.isPartial) return wholeRun(answer, readNext);
  if (answer === before.answer) return before;
  // The cost is that of all steps, so it is read once more when the run has ended.
  if (answer.root.finishedAt && !before.root.finishedAt)
    return wholeRun(await read({ limit: STEPS_PAGE }), readNext);
  return changed(before, answer);
}

async function wholeRun(first, readNext) {
  const steps = [...first.steps];
  let costUsd = first.estimatedCostUsd;
  for (let next = first.next; next;) {
    const page = await readNext(next);
    const known = new Set(steps.map((step) => step.id));
    steps.push(...page.steps.filter((step) => !known.has(step.id)));
    costUsd = costUsd === null ? null : costUsd + page.estimatedCostUsd;
    next = page.next;
  }
  return { run: first.run, root: first.root, steps, costUsd, revision: first.revision };
}

/** The run with these changes; steps stay in the order of their beginnings. */
export function changed(before, answer) {
  const { run, root, revision } = answer;
  const newer = new Map(answer.steps.map((step) => [step.id, step]));
  const steps = before.steps.map((step) => {
    const other = newer.get(step.id) ?? step;
    newer.delete(step.id);
    return other;
  });
  const added = [...newer.values()];
  const all = added.length ? [...steps, ...added].sort(byBeginning) : steps;
  return { ...before, run, root, steps: all, revision, answer };
}

const byBeginning = (a, b) =>
  a.createdAt < b.createdAt || (a.createdAt === b.createdAt && a.id < b.id) ? -1 : 1;
