// Pauses what has a name, with a note for others, and resumes it.

import { errorText, fullTime, ms, visible } from "../core/format.js";
import { html, useLayoutEffect, useRef, useState } from "../vendor/preact-htm.js";
import { Icon } from "./icons.js";
import { Button } from "./widgets.js";

/**
 * The button to pause what has this name, the note before it, or since when it is `paused` and a button to
 * resume it. `of` says what it is, what a pause does, and how it is done.
 */
export function Pause({ of, name, paused, actions }) {
  const [isAsking, setAsking] = useState(false);
  const place = useRef();
  const isUsed = useRef(false);
  // The button that had the focus is gone with each change; the one in its place gets it.
  useLayoutEffect(() => {
    const isLost = isUsed.current && !isAsking && document.activeElement === document.body;
    if (isLost) place.current.querySelector("button")?.focus();
  }, [isAsking, Boolean(paused)]);
  const [result, setResult] = useState({ isBusy: false, wrong: "" });
  const act = async (does, said) => {
    setResult({ isBusy: true, wrong: "" });
    try {
      await does(actions.api());
      setResult({ isBusy: false, wrong: "" });
      setAsking(false);
      actions.note(said);
      actions.refresh();
    } catch (error) {
      setResult({ isBusy: false, wrong: errorText(error) });
    }
  };
  const pause = (note) => act((api) => of.pause(api, name, note), `The ${of.what} is paused.`);
  const resume = () => act((api) => of.resume(api, name), of.resumed);
  const close = () => {
    setResult({ isBusy: false, wrong: "" });
    setAsking(false);
  };
  const may = actions.may("act");
  const shown = () => {
    if (paused) return html`<${Paused} ...${{ of, may, paused, resume, ...result }} />`;
    if (!may) return null;
    if (isAsking) return html`<${PauseForm} ...${{ of, pause, close, ...result }} />`;
    return html`<p><${Button} small onClick=${() => setAsking(true)}>Pause ${of.what}…<//></p>`;
  };
  return html`<div ref=${place} onClick=${() => (isUsed.current = true)}>${shown()}</div>`;
}

function Paused({ of, may, paused: { since, until, note }, resume, isBusy, wrong }) {
  return html`
    <div class="paused-bar" role="status">
      <${Icon} name="pending" />
      <span>
        <strong>Paused</strong>${since && ` since ${fullTime(ms(since))}`}${
          until && `, until ${fullTime(ms(until))}`
        }${note && html`: <bdi>${visible(note)}</bdi>`}
      </span>
      ${may && html`<${Button} small primary disabled=${isBusy} onClick=${resume}>Resume ${of.what}<//>`}
      ${wrong && html`<p class="error-text" role="alert">${wrong}</p>`}
    </div>
  `;
}

function PauseForm({ of, pause, close, isBusy, wrong }) {
  const field = useRef();
  const [note, setNote] = useState("");
  useLayoutEffect(() => field.current.focus(), []);
  const submit = (event) => {
    event.preventDefault();
    pause(note);
  };
  const leave = (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    close();
  };
  return html`
    <form class="paused-bar" onSubmit=${submit} onKeyDown=${leave}>
      <label class="field">
        <span>Why? (others read this note)</span>
        <input
          ref=${field}
          maxlength=${of.noteMax}
          value=${note}
          onInput=${(event) => setNote(event.target.value)}
        />
      </label>
      <span>${of.effect}</span>
      <button type="submit" class="button small primary" disabled=${isBusy}>Pause ${of.what}</button>
      <${Button} small onClick=${close}>Cancel<//>
      ${wrong && html`<p class="error-text" role="alert">${wrong}</p>`}
    </form>
  `;
}
