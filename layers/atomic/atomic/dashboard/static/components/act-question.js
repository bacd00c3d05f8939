// The question before an operator's action to a run or a step, and the note after it.

import { SETTLED, STATUSES } from "../core/enums.js";
import { capital, visible } from "../core/format.js";
import { parseRoute } from "../core/router.js";
import { nameOf } from "../core/rows.js";
import { labelOf, wordOf } from "./acting.js";

/** What an action is about, in words: a name alone may be that of many. */
function aboutOf(step) {
  const run = `workflow ${visible(step.workflowName)}, key ${step.idempotencyKey}`;
  return step.parent === null ? `${capital(run)}.` : `Step “${nameOf(step)}” of ${run}.`;
}

/** Ask, then do the action to a step, or to its run. */
export function ask(action, step, actions) {
  const { name, effect, rootEffect, done, label } = action;
  const word = wordOf(action, step);
  const about = aboutOf(step);
  const said = step.parent === null && rootEffect.length ? rootEffect : effect;
  const isFinal = SETTLED.includes(done);
  actions.ask({
    title: label ? `${label}?` : `${capital(name)} this ${word}?`,
    text: [about, ...said, ...(isFinal ? ["This cannot be undone."] : [])],
    verb: labelOf(action, step),
    keep: isFinal ? `Keep the ${word}` : "Cancel",
    danger: isFinal,
    act: async (api) => {
      const { status, runId, idempotencyKey } = await api.act(action, step);
      if (runId !== step.runId) {
        const route = parseRoute(location.hash);
        if (route.id === step.runId) actions.go({ ...route, id: runId, query: {} });
        return `${capital(done)} under the key ${idempotencyKey}: that run is ${status} now.`;
      }
      if (done === "paused") return `The ${word} is paused. It makes no attempt until it is resumed.`;
      if (!STATUSES.includes(done)) return `${capital(done)}: the ${word} is ${status} now.`;
      return status === done ? `The ${word} is ${done}.` : `The ${word} had ended already: ${status}.`;
    },
  });
}
