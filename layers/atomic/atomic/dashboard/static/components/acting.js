// What an operator does to runs and steps: the buttons. The questions and the notes are `act-question.js`.

import { ACTIONS, SETTLED } from "../core/enums.js";
import { capital } from "../core/format.js";
import { isLive, isPaused } from "../core/timeline.js";
import { html } from "../vendor/preact-htm.js";
import { withPart } from "./later.js";
import { Button } from "./widgets.js";

const loadQuestion = () => import("./act-question.js");
const fits = ({ states, kinds }, step) =>
  kinds.includes(step.kind) && (states ? states.includes(step.status) : isLive(step));
// Some actions are only of runs that are paused, or that are not. Others are not done twice, if the run
// has a member for what was done, such as its dismissal.
const fitsRun = ({ paused, done }, root) => (paused === null ? !root[done] : paused === isPaused(root));
// What most people want to do to what has failed or rests. All other buttons are plain.
const FIRST = ["redrive", "resume"];
// A root stands for its run, also in an action that others have as steps.
export const wordOf = ({ of }, step) => (step.parent === null ? "run" : of);
export const labelOf = (action, step) => action.label || `${capital(action.name)} ${wordOf(action, step)}`;

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
  const ask = () => withPart(loadQuestion, actions, (part) => part.ask(action, step, actions));
  return html`<${Button} ...${looks} onClick=${ask}>${labelOf(action, step)}<//>`;
}
