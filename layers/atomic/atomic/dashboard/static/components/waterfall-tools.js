// The tools above the waterfall of a run with several steps: find, failed, live, retried, zoom.

import { capital, count } from "../core/format.js";
import { isRetried } from "../core/rows.js";
import { isLive } from "../core/timeline.js";
import { html } from "../vendor/preact-htm.js";
import { Icon } from "./icons.js";

// With fewer steps, all are in sight.
const TOOLS_FROM = 4;

/** `wanted` is `{text, only}`; `zoomTo(true)` shows less of the axis, `zoomTo(false)` all of it. */
export function Tools({ run: { root, steps }, wanted, setWanted, isZoomed, zoomTo }) {
  if (steps.length < TOOLS_FROM) return null;
  const failed = steps.filter(({ status }) => status === "failed").length;
  const retried = [root, ...steps].filter(isRetried).length;
  const live = steps.filter(isLive).length;
  return html`
    <div class="tools" role="toolbar" aria-label="Steps">
      <label class="field search">
        <span class="unseen">Find step</span>
        <${Icon} name="search" />
        <input
          id="search"
          type="search"
          placeholder="Find step"
          autocomplete="off"
          value=${wanted.text}
          onInput=${(event) => setWanted({ ...wanted, text: event.currentTarget.value })}
        />
      </label>
      <${Only} name="failed" number=${failed} ...${{ wanted, setWanted }} />
      ${
        (live > 0 || wanted.only === "live") &&
        html`<${Only} name="live" number=${live} ...${{ wanted, setWanted }} />`
      }
      <${Only} name="retried" number=${retried} ...${{ wanted, setWanted }} />
      <span class="zoom">
        <button type="button" class="state" onClick=${() => zoomTo(true)}>Zoom in</button>
        <button type="button" class="state" disabled=${!isZoomed} onClick=${() => zoomTo(false)}>
          Whole time
        </button>
      </span>
    </div>
  `;
}

/** Shows only the failed steps, only the live ones, or only the retried ones. */
function Only({ name, number, wanted, setWanted }) {
  const isOn = wanted.only === name;
  return html`
    <button
      type="button"
      class="state"
      aria-pressed=${isOn}
      disabled=${!number && !isOn}
      onClick=${() => setWanted({ ...wanted, only: isOn ? "" : name })}
    >
      ${capital(name)} (${count(number)})
    </button>
  `;
}
