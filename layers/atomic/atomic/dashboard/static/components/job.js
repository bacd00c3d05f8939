// How far a bulk is, above every page of its client; after it, how many runs have failed again.

import { runPath } from "../core/api.js";
import { isLiveBulk, MANY } from "../core/bulks.js";
import { COMPARED_MAX, failedAgain } from "../core/failed-again.js";
import { count, errorText, plural } from "../core/format.js";
import { poll } from "../core/poll.js";
import { linkTo } from "../core/router.js";
import { isPaused as isRunPaused } from "../core/timeline.js";
import { html, useLayoutEffect, useState } from "../vendor/preact-htm.js";
import { Icon } from "./icons.js";
import { Button } from "./widgets.js";

const LIVE_MS = 700;
const ENDED_MS = 4000;

/** `job`: what `actions.follow` got. Use the id of its run as its key. */
export function Job({ job, actions }) {
  const [seen, setSeen] = useState({ bulk: job.begun, again: null, isPaused: Boolean(job.isPaused) });
  const { bulk, again, isPaused } = seen;
  useLayoutEffect(() => {
    const api = actions.api();
    let last = job.begun;
    const look = async (signal) => {
      const before = last;
      // Others may pause and resume it as well, so its run tells.
      const [now, isHeld] = isLiveBulk(before)
        ? await Promise.all([api.bulk(job.runId, signal), isBulkPaused(api, job.runId, signal)])
        : [before, false];
      last = now;
      const isCounted = MANY[now.do].calls && now.filter.cause && !isLiveBulk(now);
      const failed = isCounted ? await failedAgain(api, { ...now, ...job }, signal) : null;
      if (signal.aborted) return;
      setSeen({ bulk: now, again: failed, isPaused: isHeld });
      if (isLiveBulk(before) && !isLiveBulk(now)) actions.refresh();
    };
    const polling = poll(
      look,
      () => (isLiveBulk(last) ? LIVE_MS : ENDED_MS),
      () => {},
    );
    return polling.stop;
  }, []);
  const act = async (name) => {
    try {
      await actions.api().act({ of: "run", name }, { runId: job.runId });
      setSeen((before) => ({ ...before, isPaused: name === "pause" }));
    } catch (error) {
      actions.note(errorText(error), true);
    }
  };
  return html`
    <section class="job" aria-label="Progress">
      ${
        isLiveBulk(bulk)
          ? html`<${Going} ...${{ bulk, isPaused, act }} mayAct=${actions.may("act")} />`
          : html`<${Ended} ...${{ bulk, job, again }} />`
      }
      ${
        !job.isChosen &&
        html`<a href=${linkTo({ client: job.client, page: "run", id: job.runId })}>Details</a>`
      }
      <button type="button" class="plain" aria-label="Close the progress" onClick=${actions.closeJob}>
        <${Icon} name="close" />
      </button>
    </section>
  `;
}

const isBulkPaused = async (api, runId, signal) =>
  isRunPaused((await api.read(runPath(runId), { limit: 1 }, signal)).root);

const handledOf = ({ done, skipped, refused }) => done + skipped + refused;

function Going({ bulk, isPaused, act, mayAct }) {
  const { runs } = bulk;
  const handled = handledOf(bulk);
  return html`
    <p>
      <strong>${MANY[bulk.do].verb}</strong>${" "}
      ${runs === null ? "is counting the runs" : `${count(handled)} of ${plural(runs, "run")}`}
      ${isPaused && ", paused"}
    </p>
    <progress aria-label="Runs done" max=${runs ?? 1} value=${handled} />
    ${
      mayAct &&
      html`
        <${Button} small onClick=${() => act(isPaused ? "resume" : "pause")}>
          ${isPaused ? "Resume" : "Pause"}
        <//>
        <${Button} small danger onClick=${() => act("cancel")}>Cancel<//>
      `
    }
  `;
}

function Ended({ bulk, job, again }) {
  const { status, done, runs, skipped, refused, error } = bulk;
  const of = runs > done ? ` of ${count(runs)}` : "";
  const parts = [`${count(done)}${of} ${(of ? runs : done) === 1 ? "run" : "runs"} ${MANY[bulk.do].done}`];
  const handled = handledOf(bulk);
  if (status === "cancelled") parts.push(`cancelled after ${count(handled)} of ${count(runs ?? 0)}`);
  if (status === "failed") parts.push(error);
  if (skipped) parts.push(`${count(skipped)} skipped`);
  if (refused) parts.push(`${count(refused)} refused`);
  // A page that a crash cut off is done again, and what it had done is no longer in the list.
  if (status === "succeeded" && runs > handled) parts.push(`${count(runs - handled)} not counted`);
  return html`
    <${Icon} name=${status === "succeeded" ? "check" : "warning"} />
    <p role="status">
      ${parts.join(" · ")}${again && html`<${Again} ...${again} bulk=${bulk} job=${job} />`}
    </p>
  `;
}

function Again({ same, others, isAll, bulk, job: { client, workflow } }) {
  const newest = `of the newest ${count(COMPARED_MAX)} failed runs`;
  if (!same && !others) return ` · none ${isAll ? "" : `${newest} `}failed again so far`;
  const problem = linkTo({ client, page: "problem", id: bulk.filter.cause });
  const problems = linkTo({ client, page: "problems", query: workflow ? { workflow } : {} });
  const said = [
    same > 0 && html`${count(same)} for <a href=${problem}>the same cause</a>`,
    others > 0 && html`${count(others)} for <a href=${problems}>another cause</a>`,
  ].filter(Boolean);
  const number = `${isAll ? "" : "at least "}${count(same + others)}`;
  return html` · ${number} failed again: ${said[0]}${said[1] && html`, ${said[1]}`}`;
}
