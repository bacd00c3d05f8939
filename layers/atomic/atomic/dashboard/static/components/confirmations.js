// The questions before an action, and the notes after it.

/** Ask, then redrive one dead letter. */
export function askRedrive(step, actions) {
  actions.ask({
    title: "Redrive this step?",
    text: [
      "It gets a fresh budget of attempts, and its endpoint is called again with the same key and payload.",
      "Its failed ancestors are redriven with it, so that the run can go on.",
      "With a root, every failed step of its run is redriven.",
    ],
    verb: "Redrive",
    act: async (api) => {
      const after = await api.redrive(step.id);
      return `Redriven: the step is ${after.status} now.`;
    },
  });
}

/** Ask, then cancel a run. */
export function askCancel(root, actions) {
  actions.ask({
    title: "Cancel this run?",
    text: ["Every live step is cancelled; steps that have succeeded stay. This cannot be undone."],
    verb: "Cancel run",
    danger: true,
    act: async (api) => {
      const after = await api.cancel(root.runId);
      return after.status === "cancelled"
        ? "The run is cancelled."
        : `The run had ended already: ${after.status}.`;
    },
  });
}

/** Ask, then cancel one step. */
export function askCancelStep(step, actions) {
  actions.ask({
    title: "Cancel this step?",
    text: [
      "It ends as cancelled, with the live steps below it. This cannot be undone.",
      "Its run goes on: the workflow is told, and may go on without it.",
    ],
    verb: "Cancel step",
    danger: true,
    act: async (api) => {
      const after = await api.cancelStep(step.id);
      return after.status === "cancelled"
        ? "The step is cancelled."
        : `The step had ended already: ${after.status}.`;
    },
  });
}

/** Ask, then redrive all matching dead letters; `filter` is for the API, `which` describes it in words. */
export function askRedriveMany(filter, which, actions) {
  actions.ask({
    title: "Redrive these dead letters?",
    text: [
      `${which}: each gets a fresh budget of attempts.`,
      "A step that fails again becomes a dead letter again.",
    ],
    verb: "Redrive all of them",
    act: async (api) => {
      const redriven = await api.redriveMany(filter);
      return redriven === 1 ? "1 dead letter was redriven." : `${redriven} dead letters were redriven.`;
    },
  });
}
