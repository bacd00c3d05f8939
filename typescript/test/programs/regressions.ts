/** Programs that once did something else through Atomic than without it. */

import type { Program } from "./language.ts";

const RETRY = "{ retry: { count: 2, backOff: 500 } }";

export const REGRESSIONS: readonly { readonly why: string; readonly program: Program }[] = [
  {
    // Seed 58: both were counted on their own, so they had one position, one key, and so one run.
    why: "a run that is started after one that was waited for: they were one run",
    program: {
      functions: {
        inner: ["return n;"],
        main: [
          `const one = await ctx.runWorkflow(inner, 3, ${RETRY});`,
          `const run = await ctx.startRun(inner, 0, ${RETRY});`,
          "return [one, await run.result()];",
        ],
      },
      payload: 0,
    },
  },
];
