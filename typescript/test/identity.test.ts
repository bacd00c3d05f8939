import { expect, it } from "vitest";
import { runId, stepId, stepKey } from "../src/identity.ts";
import { type IdentityVectors, vectors } from "./vectors.ts";

const { runs, positions } = vectors<IdentityVectors>("identities");

it.each(runs)("gives the run $runId and its steps the ids of the server", async (run) => {
  const { clientId, workflowName } = run;
  expect(await runId(clientId, workflowName, run.idempotencyKey)).toBe(run.runId);
  for (const { id, ...step } of run.steps) {
    expect(await stepId(run.runId, { clientId, workflowName, ...step })).toBe(id);
  }
});

it.each(positions)(
  "gives the call $path $key $number the key $stepKey",
  async ({ runKey, stepKey: expected, ...position }) => {
    expect(await stepKey(runKey, position)).toBe(expected);
  },
);
