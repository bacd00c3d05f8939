// Two attempts of a step beside each other; what differs is marked.

import { differences } from "../core/differences.js";
import { duration, fullTime, ms } from "../core/format.js";
import { html, useMemo, useState } from "../vendor/preact-htm.js";
import { errorOf, outcomeInWords } from "./attempts.js";
import { Select } from "./fields.js";
import { Fact } from "./widgets.js";

const FACTS = [
  ["Outcome", outcomeInWords],
  ["Status", (_, { status }) => (status === null ? "none" : String(status))],
  ["Duration", (_, attempt) => duration(attempt.duration)],
  ["Build", (_, { build }) => build ?? ""],
  ["Error", (_, attempt) => (attempt.error ? errorOf(attempt) : "none")],
];

export function Compared({ step, log }) {
  const [chosen, setChosen] = useState([null, null]);
  const pair = [log.at(-2), log.at(-1)].map(
    (last, side) => log.find(({ number }) => number === chosen[side]) ?? last,
  );
  const choose = (side) => (value) => setChosen(chosen.with(side, Number(value)));
  const options = log.map(({ number }) => [number, `#${number}`]);
  const facts = useMemo(() => compared(step, pair), [step, ...pair]);
  const unlike = facts.filter(({ isSame }) => !isSame).map(({ name }) => name.toLowerCase());
  return html`
    <div class="compare-choice">
      ${pair.map(
        ({ number }, side) => html`
          <${Select}
            label=${side ? "With" : "Compare"}
            value=${number}
            options=${options}
            change=${choose(side)}
          />
        `,
      )}
    </div>
    <p class="soft" role="status">
      ${unlike.length ? `What differs: ${unlike.join(", ")}.` : "Nothing differs but the time."}
    </p>
    <div class="compare-pair">
      ${pair.map((attempt, side) => html`<${Side} ...${{ attempt, side, facts }} />`)}
    </div>
    <p class="soft">
      Of each attempt the beginning of its error is kept. The response of the last one alone is kept whole.
    </p>
  `;
}

/** The facts of two attempts: `{name, isSame, sides}`, a side being a list of `{text, isOwn}`. */
function compared(step, pair) {
  return FACTS.map(([name, textOf]) => {
    const texts = pair.map((attempt) => textOf(step, attempt));
    const isSame = texts[0] === texts[1];
    const sides =
      name === "Error" ? differences(...texts) : texts.map((text) => [{ text, isOwn: !isSame }]);
    return { name, isSame, sides, isEmpty: !texts.join("") };
  }).filter(({ isEmpty }) => !isEmpty);
}

function Side({ attempt, side, facts }) {
  return html`
    <section aria-label="Attempt #${attempt.number}">
      <h4>#${attempt.number}</h4>
      <dl class="facts narrow">
        <${Fact} name="Started">${fullTime(ms(attempt.startedAt))}<//>
        ${facts.map(
          ({ name, sides }) => html`
            <${Fact} name=${name}>
              ${sides[side].map(({ text, isOwn }) => (isOwn ? html`<mark>${text}</mark>` : text))}
            <//>
          `,
        )}
      </dl>
    </section>
  `;
}
