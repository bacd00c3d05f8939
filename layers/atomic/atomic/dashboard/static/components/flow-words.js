// How the limits of flow control, and what is used of limits, are shown.

import { count, plural, roundDuration, visible } from "../core/format.js";
import { html } from "../vendor/preact-htm.js";
import { Icon } from "./icons.js";

// The names of keys that people choose. Others are lines that Atomic itself makes, such as of singletons.
const OWN = /^[A-Za-z0-9._~:@-]{1,128}$/;

/** Whether a key can be pinned and paused. */
export const isPinnable = (key) => OWN.test(key);

/** Whether anything of a key is pinned. */
export const isPinned = ({ pinned }) => pinned.concurrency !== null || pinned.rate !== null;

export const rateInWords = ({ limit, per }) => `${count(limit)} in ${roundDuration(per)}`;

/** The limits as words, such as: 2 at a time, 10 in 1 s. */
export function limitsInWords({ concurrency, rate }) {
  const parts = [];
  if (concurrency !== null) parts.push(`${count(concurrency)} at a time`);
  if (rate !== null) parts.push(rateInWords(rate));
  return parts.join(", ") || "no limit";
}

/** Says that a key is paused, or that its limits are pinned. */
export function KeyBadges({ of }) {
  if (!of.paused && !isPinned(of)) return null;
  const pinned = isPinned(of) && html`<span class="badge" title=${limitsInWords(of.pinned)}>pinned</span>`;
  if (!of.paused) return html`<span class="row-badges">${pinned}</span>`;
  return html`
    <span class="row-badges">
      <span class="badge is-warn" title=${visible(of.note ?? "")}><${Icon} name="pending" />paused</span>
      ${pinned}
    </span>
  `;
}

/**
 * So much of a limit is used, as words and as a bar. `most` is null where there is no limit. `isNear`: the
 * limit calls for attention.
 */
export function Meter({ used, most, said = count, isNear = false }) {
  const share = most ? Math.min(1, used / most) : 0;
  return html`
    <span class="meter">
      <span class="meter-text">${said(used)}${most !== null && ` of ${said(most)}`}</span>
      ${
        most !== null &&
        html`
          <span class="meter-bar" aria-hidden="true">
            <span class=${isNear ? "meter-near" : "meter-used"} style=${{ width: `${100 * share}%` }} />
          </span>
        `
      }
    </span>
  `;
}

/** A step as words: its workflow, and its name if it has one. */
export const stepInWords = ({ workflowName, stepName }) =>
  visible(stepName ? `${workflowName} · ${stepName}` : workflowName);

/** So many steps are shown of a longer list. */
export const firstOf = (shown, all) =>
  shown < all ? `the first ${count(shown)} of ${plural(all, "step")}` : plural(all, "step");
