// The same act on many runs: the dialog before it says to how many, to which, and what is called.

import { runPath } from "../core/api.js";
import { ACTIONS } from "../core/enums.js";
import { capital, count, plural } from "../core/format.js";
import { newKey } from "../core/new-key.js";
import { justAfter } from "../core/paging.js";
import { html, useLayoutEffect, useState } from "../vendor/preact-htm.js";
import { FilterFacts } from "./causes.js";
import { DialogBody, useConfirm } from "./dialog.js";
import { Field } from "./fields.js";
import { Fact } from "./widgets.js";

const SHOWN = 3;
const URLS_SHOWN = 6;
// Of each run whose URLs are shown, so many steps are read at most.
const STEPS_READ = 1000;
const AT_ONCE = 4;
const NOTE_MAX_CHARS = 500;

/** Ask, then do `what` to all runs that fit the filter, which has the id of `cause`. */
export function askAll({ what, filter, cause }, actions) {
  const once = newKey();
  actions.ask({
    Body: Many,
    what,
    filter,
    cause,
    find: (api, signal) => api.countBulk({ do: what.name, filter }, signal),
    begin: async (api, note) => {
      const begun = await api.beginBulk({ do: what.name, filter, note }, once);
      actions.follow({ runId: begun.runId, begun, workflow: cause.workflowName });
    },
  });
}

/** Ask, then do `what` to these runs. */
export function askSome({ what, runs, cause }, actions) {
  const action = ACTIONS.find(({ name }) => name === what.name);
  actions.ask({
    Body: Many,
    what,
    filter: {},
    cause,
    find: async () => ({ runs: runs.length, isAll: true, sample: runs }),
    begin: async (api, note, tell) => {
      const body = note ? { note } : undefined;
      await doEach(runs, (run) => api.act(action, run, body), tell);
      if (!what.calls) return `${plural(runs.length, "run")} ${what.done}.`;
      actions.follow(chosenJob(what, runs, cause));
      return undefined;
    },
  });
}

/** What `actions.follow` gets of chosen runs, which no bulk is about: as of one that has ended. */
function chosenJob(what, runs, cause) {
  const number = runs.length;
  const createdBefore = justAfter(runs);
  const [createdAfter] = runs.map((run) => run.createdAt).sort();
  return {
    runId: newKey(),
    isChosen: true,
    workflow: cause.workflowName,
    endedBefore: new Map(runs.map((run) => [run.runId, run.finishedAt])),
    begun: {
      do: what.name,
      status: "succeeded",
      filter: { cause: cause.id, createdAfter, createdBefore },
      createdAt: createdBefore,
      ...{ runs: number, done: number, skipped: 0, refused: 0 },
    },
  };
}

/** Call `act` with each run, some at once; `tell` gets how many are done. Throws the first error. */
export async function doEach(runs, act, tell) {
  let done = 0;
  let failure;
  for (let first = 0; first < runs.length; first += AT_ONCE) {
    const some = runs.slice(first, first + AT_ONCE);
    for (const each of await Promise.allSettled(some.map(act))) {
      if (each.status === "fulfilled") done += 1;
      else failure ??= each.reason;
    }
    tell(done);
  }
  if (!failure) return;
  failure.message = `${count(done)} of ${count(runs.length)} done. ${failure.message}`;
  throw failure;
}

function Many({ question, actions, close }) {
  const { what, filter, cause, find, begin } = question;
  const [found, setFound] = useState(null);
  const [note, setNote] = useState("");
  // The bulk takes what fits when it begins. More may fit by then than were shown.
  const act = async (tell) => {
    const api = actions.api();
    const now = await find(api);
    if (now.runs > found.runs) {
      setFound(await look(api, now, what));
      throw moreThan(found.runs, now);
    }
    return begin(api, note.trim(), (done) => tell(`${count(done)} of ${count(found.runs)}`));
  };
  const { state, confirm, refuse } = useConfirm({ question, actions, act });
  useLayoutEffect(() => {
    const controller = new AbortController();
    const { signal } = controller;
    const api = actions.api();
    find(api, signal)
      .then((now) => look(api, now, what, signal))
      .then(
        (answer) => signal.aborted || setFound(answer),
        (error) => signal.aborted || refuse(error),
      );
    return () => controller.abort();
  }, []);
  const runs = found ? numberOf(found) : "these runs";
  return html`
    <${DialogBody}
      title="${what.verb} ${runs}?"
      verb="${what.verb} ${runs}"
      ...${state}
      disabled=${!found?.runs}
      confirm=${confirm}
      close=${close}
    >
      <p>${found?.runs === 0 ? "No run fits any more." : what.effect}</p>
      <${FilterFacts} filter=${filter} cause=${cause} />
      <${Reach} found=${found} what=${what} />
      ${
        what.hasNote &&
        html`<${Field}
          label="Note"
          maxlength=${NOTE_MAX_CHARS}
          placeholder="Why, for those who read it later"
          value=${note}
          onInput=${(event) => setNote(event.target.value)}
        />`
      }
    <//>
  `;
}

function moreThan(before, found) {
  const error = new Error(`${capital(numberOf(found))} fit now, and no longer ${count(before)}`);
  error.detail = "Nothing was done. The dialog shows the new number: confirm it if it is right.";
  return error;
}

const numberOf = ({ runs, isAll }) => `${isAll ? "" : "at least "}${plural(runs, "run")}`;

/** Which runs, by some of their keys, and what is called because of it. */
function Reach({ found, what }) {
  if (!found) return html`<p class="soft" role="status">Counting the runs…</p>`;
  if (!found.runs) return null;
  const codes = (texts) => texts.map((text) => html`<li><code>${text}</code></li>`);
  const { keys, urls, isAllUrls } = found;
  return html`
    <dl class="facts narrow">
      <${Fact} name=${found.runs > SHOWN ? "Keys, such as" : "Keys"}>
        <ul class="samples">${codes(keys)}</ul>
      <//>
      <${Fact} name=${isAllUrls ? "URLs called" : "URLs called, such as"}>
        ${what.calls ? html`<ul class="samples">${codes(urls)}</ul>` : "nothing"}
      <//>
    </dl>
  `;
}

async function look(api, { runs, isAll, sample }, what, signal) {
  const some = sample.slice(0, SHOWN);
  const called = what.calls ? await Promise.all(some.map((run) => calledIn(api, run, signal))) : [];
  const all = [...new Set(called.flatMap(({ urls }) => urls))];
  const isRead = runs <= SHOWN && called.every(({ isWhole }) => isWhole);
  return {
    runs,
    isAll,
    keys: some.map((run) => run.idempotencyKey),
    urls: all.slice(0, URLS_SHOWN),
    isAllUrls: !what.calls || (isRead && all.length <= URLS_SHOWN),
  };
}

/** What a redrive of a run calls: its handler and what failed in it, as far as its first steps tell. */
async function calledIn(api, { runId }, signal) {
  const { root, steps, next } = await api.read(runPath(runId), { limit: STEPS_READ }, signal);
  const failed = steps.filter(({ status }) => status === "failed");
  const urls = [...failed, root].map((step) => step.stepInvokeUrl).filter(Boolean);
  return { urls, isWhole: !next };
}
