// Start a run that has ended again, with a payload that is edited first.

import { html } from "../vendor/preact-htm.js";
import { withPart } from "./later.js";
import { Button } from "./widgets.js";

/** The button, where a run may be started again and its payload can be shown. */
export function RestartEdited({ root, actions }) {
  if (!(actions.may("act") && actions.may("start"))) return null;
  const isFitting = root.finishedAt && root.kind === "http" && root.stepInvokeUrl;
  if (!isFitting || root.payloadBytes || root.payload.encryption) return null;
  const edit = () =>
    withPart(
      () => import("./restart-editor.js"),
      actions,
      ({ Editor }) => actions.ask({ Body: Editor, root, isWide: true }),
    );
  return html`<${Button} small onClick=${edit}>Restart with edited input…<//>`;
}
