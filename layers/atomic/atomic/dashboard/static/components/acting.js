// What an operator does to runs and steps: the buttons, the questions before, and the notes after.

import { ACTIONS, SETTLED, STATUSES } from "../core/enums.js";
import { capital } from "../core/format.js";
import { parseRoute } from "../core/router.js";
import { nameOf, visible } from "../core/rows.js";
import { isLive, isPaused } from "../core/timeline.js";
import { html } from "../vendor/preact-htm.js";
import { Button } from "./widgets.js";

const fits = ({ states, kinds }, step) =>
  kinds.includes(step.kind) && (states ? states.includes(step.status) : isLive(step));
// Some actions are only of runs that are paused, or that are not. Others are not done twice, if the run
// has a member for what was done, such as its dismissal.
const fitsRun = ({ paused, done }, root) => (paused === null ? !root[done] : paused === isPaused(root));
// What most people want to do to what has failed or rests. All other buttons are plain.
const FIRST = ["redrive", "resume"];
// A root stands for its run, also in an action that others have as steps.
const wordOf = ({ of }, step) => (step.parent === null ? "run" : of);
const labelOf = (action, step) => action.label || `${capital(action.name)} ${wordOf(action, step)}`;

/** What an action is about, in words: a name alone may be that of many. */
function aboutOf(step) {
  const run = `workflow ${visible(step.workflowName)}, key ${visible(step.idempotencyKey)}`;
  return step.parent === null ? `${capital(run)}.` : `Step “${nameOf(step)}” of ${run}.`;
}

/** The buttons for a run: of its own actions, and of those on steps that its root takes as well. */
export function RunActions({ run: { root, steps }, actions }) {
  if (!actions.may("act")) return null;
  const all = [root, ...steps];
  const fitting = ACTIONS.filter((action) =>
    action.of === "run"
      ? (action.states ? [root] : all).some((step) => fits(action, step)) && fitsRun(action, root)
      : action.roots && fits(action, root),
  );
  return fitting.map((action) => html`<${Act} ...${{ action, step: root, actions }} />`);
}

/** The buttons for a step of a run. */
export function StepActions({ step, run: { root }, actions }) {
  if (!actions.may("act")) return null;
  const mayGoOn = root.status === "failed" || isLive(root);
  const fitting = ACTIONS.filter(
    (action) =>
      action.of === "step" &&
      (action.roots || step.id !== root.id) &&
      (mayGoOn || !action.needsRun) &&
      fits(action, step),
  );
  return fitting.map((action) => html`<${Act} ...${{ action, step, actions }} />`);
}

function Act({ action, step, actions }) {
  const isFinal = SETTLED.includes(action.done);
  const primary = FIRST.includes(action.name);
  const looks = { small: true, primary, danger: isFinal, title: action.summary };
  return html`
    <${Button} ...${looks} onClick=${() => ask(action, step, actions)}>${labelOf(action, step)}<//>
  `;
}

/** Ask, then do the action to a step, or to its run. */
function ask(action, step, actions) {
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
