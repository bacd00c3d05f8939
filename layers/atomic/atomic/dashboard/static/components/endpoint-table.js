// How each origin that the client calls has answered lately, and how many attempts it gets at once now.

import { count, duration, percent } from "../core/format.js";
import { html } from "../vendor/preact-htm.js";
import { Icon } from "./icons.js";

const COLUMNS = [
  ["Origin"],
  ["Attempts", "Attempts that have ended in this time"],
  ["Failed"],
  ["Failure rate"],
  ["Median", "Half of the attempts took no longer"],
  ["95 %", "95 % of the attempts took no longer"],
  ["Under way", "Attempts that are under way now, without handlers that wait for their steps"],
  ["At once", "So many attempts may be under way at once now. The server finds out how many are good"],
  ["Waiting", "Steps that wait until another attempt ends"],
];
// Which of the numbers after the origin.
const FAILED = 1;

/** `found`: the answer of the API. */
export function EndpointTable({ found: { minutes, endpoints } }) {
  return html`
    <section class="ranking">
      <h2>Endpoints</h2>
      <p class="soft">
        The last ${minutes} minutes, as this server has called them since its start. The time in which a
        handler waits for its own steps counts.
      </p>
      <div class="scroll-x" tabindex="0" role="region" aria-label="Endpoints">
        <table class="endpoints as-cards">
          <thead>
            <tr>${COLUMNS.map(([name, title]) => html`<th scope="col" title=${title}>${name}</th>`)}</tr>
          </thead>
          <tbody>
            ${endpoints.map((each) => html`<${Row} key=${each.origin} endpoint=${each} />`)}
          </tbody>
        </table>
      </div>
      ${!endpoints.length && html`<p class="soft">None was called in this time.</p>`}
    </section>
  `;
}

function Row({ endpoint }) {
  const { origin, attempts, failed, underWay, limit, slowed, waiting, rests } = endpoint;
  const numbers = [
    count(attempts),
    count(failed),
    attempts ? percent(failed / attempts) : "–",
    duration(endpoint.durationMsP50),
    duration(endpoint.durationMsP95),
    underWay === null ? "–" : count(underWay),
    limit === null ? "any number" : count(limit),
    count(waiting),
  ];
  return html`
    <tr>
      <td>
        ${origin === null ? html`<span class="soft">all others</span>` : html`<bdi>${origin}</bdi>`}
        ${slowed && html`${" "}<${Slowed} rests=${rests} />`}
      </td>
      ${numbers.map(
        (number, at) => html`
          <td class="c-number ${at === FAILED && failed ? "c-failed" : ""}" data-name=${COLUMNS[at + 1][0]}>
            ${number}
          </td>
        `,
      )}
    </tr>
  `;
}

function Slowed({ rests }) {
  const why = "It seemed overloaded, so it gets fewer attempts at once";
  return html`
    <span class="badge is-warn" title=${why}>
      <${Icon} name="warning" />${rests ? `rests for ${duration(rests)}` : "slowed"}
    </span>
  `;
}
