// How far a bulk is, above every page of its client; after it, how many runs have failed again.

import { isLiveBulk, MANY } from "../core/bulks.js";
import { count, errorText, ms, plural } from "../core/format.js";
import { poll } from "../core/poll.js";
import { linkTo } from "../core/router.js";
import { html, useLayoutEffect, useState } from "../vendor/preact-htm.js";
import { Icon } from "./icons.js";
import { Button } from "./widgets.js";

const LIVE_MS = 700;
const ENDED_MS = 4000;
const AGAIN_MAX = 100;

/** `job`: what `actions.follow` got. Use the id of its run as its key. */
export function Job({ job, actions }) {
  const [{ bulk, again }, setSeen] = useState({ bulk: job.begun, again: null });
  const [isPaused, setPaused] = useState(Boolean(job.isPaused));
  useLayoutEffect(() => {
    const api = actions.api();
    let seen = job.begun;
    const look = async (signal) => {
      const before = seen;
      seen = isLiveBulk(before) ? await api.bulk(job.runId, signal) : before;
      const failed = await failedAgain(api, seen, signal);
      if (signal.aborted) return;
      setSeen({ bulk: seen, again: failed });
      if (isLiveBulk(before) && !isLiveBulk(seen)) actions.refresh();
    };
    const polling = poll(
      look,
      () => (isLiveBulk(seen) ? LIVE_MS : ENDED_MS),
      () => {},
    );
    return polling.stop;
  }, []);
  const act = async (name) => {
    try {
      await actions.api().act({ of: "run", name }, { runId: job.runId });
      setPaused(name === "pause");
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
      <a href=${linkTo({ client: job.client, page: "run", id: job.runId })}>Details</a>
      <button type="button" class="plain" aria-label="Close the progress" onClick=${actions.closeJob}>
        <${Icon} name="close" />
      </button>
    </section>
  `;
}

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

function Ended({ bulk, job: { client }, again }) {
  const { status, done, runs, refused, error } = bulk;
  const parts = [`${count(done)} ${done === 1 ? "run" : "runs"} ${MANY[bulk.do].done}`];
  const handled = count(handledOf(bulk));
  if (status === "cancelled") parts.push(`cancelled after ${handled} of ${count(runs ?? 0)}`);
  if (status === "failed") parts.push(error);
  if (refused) parts.push(`${count(refused)} refused`);
  if (again === 0) parts.push("none failed again so far");
  const href = linkTo({ client, page: "problem", id: bulk.filter.cause });
  return html`
    <${Icon} name=${status === "succeeded" ? "check" : "warning"} />
    <p role="status">
      ${parts.join(" · ")}
      ${
        again > 0 &&
        html`${" · "}${again >= AGAIN_MAX ? `at least ${AGAIN_MAX}` : count(again)} failed again
          (<a href=${href}>view</a>)`
      }
    </p>
  `;
}

/** How many runs of the bulk have failed for its cause since then; null where that cannot happen. */
async function failedAgain(api, bulk, signal) {
  const { cause } = bulk.filter;
  if (!MANY[bulk.do].calls || !cause || isLiveBulk(bulk)) return null;
  const wanted = {
    cause,
    dismissed: false,
    createdBefore: bulk.createdAt,
    limit: AGAIN_MAX,
    progress: false,
  };
  const { runs } = await api.runs(wanted, signal);
  return runs.filter((run) => ms(run.finishedAt) > ms(bulk.createdAt)).length;
}
