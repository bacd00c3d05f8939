// Starts a run from a form, or copies the same start for a shell or a program.

import { Field } from "../components/fields.js";
import { isJson, JsonField } from "../components/json-field.js";
import { Blank, Button, CopyButton, Loading, Problem } from "../components/widgets.js";
import { startsOf } from "../core/api-of-starts.js";
import { newRunCommand } from "../core/curl.js";
import { errorText } from "../core/format.js";
import { pythonStart, typescriptStart } from "../core/programs.js";
import { html, useLayoutEffect, useRef, useState } from "../vendor/preact-htm.js";

const EVERY_MS = 30_000;
const KEY = /^[!-~]{1,255}$/;
const EMPTY = { workflowName: "", url: "", key: "", payload: "null" };

// What is typed for each client, for a page that was left and is opened again; a reload forgets it.
const drafts = new Map();

export const everyMs = () => EVERY_MS;
export const loadedBy = () => "";

/** Fetch the data of the view. */
export async function load({ api, signal }) {
  const [workflows, stats] = await Promise.all([startsOf(api).startable(signal), api.stats(signal)]);
  return { workflows, stats };
}

export function View({ state, actions }) {
  const { data, error } = state;
  return html`
    <div class="page-head"><h1>Start a run</h1></div>
    ${
      data
        ? html`<${Form} state=${state} actions=${actions} />`
        : error
          ? html`<${Problem} error=${error} actions=${actions} />`
          : html`<${Loading} rows=${3} />`
    }
  `;
}

function Form({ state: { route, data, needsKey }, actions }) {
  const { client } = route;
  const draft = drafts.get(client) ?? { given: EMPTY, filled: EMPTY };
  const [given, setGiven] = useState(draft.given);
  const [said, setSaid] = useState({ busy: false, error: "", about: "" });
  const filled = useRef(draft.filled);
  useLayoutEffect(() => void drafts.set(client, { given, filled: filled.current }), [given]);
  if (!actions.may("start")) {
    return html`
      <${Blank} icon="key" title="This key may not start runs">
        <p>It lacks the scope <code>start</code>.</p>
      <//>
    `;
  }
  const field = (name) => ({
    name,
    value: given[name],
    onInput: (event) => setGiven({ ...given, [name]: event.target.value }),
  });
  const choose = async ({ target: { value: workflowName } }) => {
    setGiven({ ...given, workflowName });
    if (!data.workflows.includes(workflowName)) return;
    const [changes, about] = await templateOf(actions.api(), workflowName);
    const before = filled.current;
    filled.current = changes;
    setGiven((now) => (now.workflowName === workflowName ? filledIn(now, before, changes) : now));
    setSaid({ busy: false, error: "", about });
  };
  const isReady = given.workflowName && given.url && KEY.test(given.key) && isJson(given.payload);
  const submit = async (event) => {
    event.preventDefault();
    setSaid({ busy: true, error: "", about: "" });
    try {
      const { runId, isOld } = await startsOf(actions.api()).start(given);
      drafts.delete(client);
      if (isOld) actions.note("A run with this key exists. Nothing was started.");
      actions.go({ client, page: "run", id: runId });
    } catch (error) {
      setSaid({ busy: false, error: errorText(error), about: "" });
    }
  };
  return html`
    <form class="start" onSubmit=${submit}>
      <${Fields} ...${{ field, choose, workflows: data.workflows }} />
      ${said.about && html`<p class="soft" role="status">${said.about}</p>`}
      ${said.error && html`<p class="error-text" role="alert">${said.error}</p>`}
      <div class="row-acts">
        <${Button} primary type="submit" disabled=${said.busy || !isReady}>Start run<//>
        ${isReady && html`<${Copies} ...${{ given, client, needsKey, actions }} />`}
      </div>
    </form>
  `;
}

/** A change of the workflow replaces what the one before has filled in, and nothing that was typed. */
function filledIn(now, before, changes) {
  const untouched = Object.entries(changes).filter(([name]) => now[name] === (before[name] ?? EMPTY[name]));
  return { ...now, ...Object.fromEntries(untouched) };
}

function Fields({ field, choose, workflows }) {
  return html`
    <${Field}
      label="Workflow"
      required
      list="workflows"
      placeholder="order"
      ...${field("workflowName")}
      onInput=${choose}
    />
    <datalist id="workflows">${workflows.map((name) => html`<option value=${name} />`)}</datalist>
    <${Field}
      label="URL of its endpoint"
      required
      placeholder="https://shop.example/order"
      ...${field("url")}
    />
    <${Field}
      label="Key, which says which run this is"
      required
      placeholder="order-42"
      pattern="[!-~]{1,255}"
      ...${field("key")}
    />
    <${JsonField} label="Payload" said="The payload is not JSON." rows="8" ...${field("payload")} />
  `;
}

function Copies({ given, client, needsKey, actions }) {
  const { origin } = location;
  const command = () => newRunCommand(given, client, { origin, needsKey });
  return html`
    <span class="soft">Copy as</span>
    <${CopyButton} text=${command} actions=${actions}>curl<//>
    <${CopyButton} text=${() => pythonStart(given, client, origin)} actions=${actions}>Python<//>
    <${CopyButton} text=${() => typescriptStart(given, client, origin)} actions=${actions}>TypeScript<//>
  `;
}

/** URL and payload of the newest run of the workflow, a new key, and what is to be said about it. */
async function templateOf(api, workflowName) {
  const key = `${workflowName.replace(/[^!-~]+/g, "-").slice(0, 200)}-${Date.now()}`;
  try {
    const last = await startsOf(api).lastRun(workflowName);
    if (!last?.stepInvokeUrl) return [{ key }, "It has no run to copy from."];
    const from = `URL and payload are those of the run with key ${last.idempotencyKey}.`;
    const url = last.stepInvokeUrl;
    if (last.payloadBytes || last.payload.encryption)
      return [{ key, url }, "The URL is that of the last run. Its payload cannot be shown here."];
    return [{ key, url, payload: last.payload.indented }, from];
  } catch (error) {
    return [{ key }, `The last run cannot be read: ${error.message}.`];
  }
}
