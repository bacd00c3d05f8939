// The limits of the client, which its operator sets, and what is used of them.

import { count } from "../core/format.js";
import { linkTo } from "../core/router.js";
import { html } from "../vendor/preact-htm.js";
import { Meter } from "./flow-words.js";
import { Icon } from "./icons.js";
import { When } from "./widgets.js";

// From this share on, a limit is near.
const NEAR = 0.7;
const UNITS = ["bytes", "kB", "MB", "GB", "TB"];
const LIMITS = [
  ["liveSteps", "Live steps", count],
  ["storedBytes", "Stored payloads and answers", bytes],
  ["startsPerSecond", "Starts per second", count],
];

/** A size in the largest unit in which it is at least 1. */
function bytes(size) {
  const power = Math.min(UNITS.length - 1, Math.max(0, Math.floor(Math.log10(size || 1) / 3)));
  const value = size / 1000 ** power;
  return `${power && value < 100 ? value.toFixed(1) : count(Math.round(value))} ${UNITS[power]}`;
}

const isNear = ({ limit, used }) => limit !== null && used !== null && used >= NEAR * limit;

/** A warning for each limit that is near. */
export function NearLimits({ limits, client }) {
  const near = LIMITS.filter(([name]) => isNear(limits[name]));
  if (!near.length) return null;
  return html`
    <p class="warnings" role="status">
      ${near.map(([name, title, word]) => {
        const { limit, used } = limits[name];
        return html`
          <a class="badge is-warn" key=${name} href=${linkTo({ client, page: "flow" })}>
            <${Icon} name="warning" />${title}: ${word(used)} of ${word(limit)}
          </a>
        `;
      })}
    </p>
  `;
}

/** All limits, folded; open if one of them is near. */
export function Limits({ limits, now }) {
  return html`
    <details class="ranking limits" open=${LIMITS.some(([name]) => isNear(limits[name]))}>
      <summary><h2>Limits of this client</h2></summary>
      <dl class="facts narrow">
        ${LIMITS.map(
          ([name, title, word]) => html`
            <dt key=${name}>${title}</dt>
            <dd><${Limit} usage=${limits[name]} word=${word} now=${now} /></dd>
          `,
        )}
      </dl>
      <p class="soft">The operator of the server sets them. What is beyond them is refused.</p>
    </details>
  `;
}

function Limit({ usage, word, now }) {
  const { limit, used, countedAt } = usage;
  if (limit === null) return "no limit";
  if (used === null) return `at most ${word(limit)}`;
  return html`
    <${Meter} used=${used} most=${limit} said=${word} isNear=${isNear(usage)} />
    ${countedAt && html`<span class="soft">counted <${When} text=${countedAt} now=${now} /></span>`}
  `;
}
