// The dialog before an action, and the notes about its result.

import { errorText, visible } from "../core/format.js";
import { html, useLayoutEffect, useRef, useState } from "../vendor/preact-htm.js";
import { Icon } from "./icons.js";
import { Button } from "./widgets.js";

/**
 * The open question; one that is not in words alone has a `Body`, which gets `close`, too. Use the
 * question's id as the key.
 */
export function Dialog({ question, actions }) {
  const element = useRef();
  const [isLeaving, setLeaving] = useState(false);
  useLayoutEffect(() => element.current.showModal(), []);
  // The browser gives the focus back to the button that opened the dialog.
  const close = () => element.current.close();
  const leave = (event) => {
    const texts = [...element.current.querySelectorAll("textarea, input:not([type])")];
    if (texts.every(({ value, defaultValue }) => value === defaultValue)) return close();
    event.preventDefault();
    setLeaving(true);
  };
  const { Body = Question } = question;
  // Browsers let a repeated Escape close a dialog without asking (`cancel` comes only once), so the key is
  // refused before. `cancel` has the other ways, such as the gesture back of a phone.
  return html`
    <dialog
      ref=${element}
      class=${question.isWide ? "wide" : ""}
      aria-labelledby="dialog-title"
      onClose=${actions.closeDialog}
      onCancel=${leave}
      onKeyDown=${(event) => event.key === "Escape" && leave(event)}
      onClick=${(event) => event.target === event.currentTarget && leave(event)}
    >
      <${Body} question=${question} actions=${actions} close=${leave} />
      ${isLeaving && html`<${Leaving} close=${close} stay=${() => setLeaving(false)} />`}
    </dialog>
  `;
}

/** Asks before a text that was typed is lost. */
function Leaving({ close, stay }) {
  const keep = useRef();
  useLayoutEffect(() => keep.current.focus(), []);
  return html`
    <div class="dialog-body" role="alert">
      <p>Close it? The text that you have typed is lost then.</p>
      <div class="dialog-actions">
        <${Button} element=${keep} onClick=${stay}>Go on editing<//>
        <${Button} danger onClick=${close}>Lose the text<//>
      </div>
    </div>
  `;
}

/** `{title, text, verb, keep, danger, busy, error, confirm}`; `keep` is what the harmless button says. */
function Question({ question: { text, ...rest }, close }) {
  return html`
    <${DialogBody} ...${rest} close=${close}>${text.map((line) => html`<p>${visible(line)}</p>`)}<//>
  `;
}

/**
 * What is in a dialog: its title, its text, and two buttons, the harmless one of which has the focus.
 * Without a `verb` there is nothing more to do, and no second button.
 */
export function DialogBody({
  title,
  verb,
  keep = "Cancel",
  danger,
  busy,
  error,
  disabled,
  confirm,
  close,
  children,
}) {
  return html`
    <div class="dialog-body">
      <h2 id="dialog-title">${visible(title)}</h2>
      ${children}
      ${error && html`<p class="error-text" role="alert">${error}</p>`}
      <div class="dialog-actions">
        <${Button} autofocus onClick=${close}>${keep}<//>
        ${
          verb &&
          html`<${Button} primary danger=${danger} disabled=${busy || disabled} onClick=${confirm}>
            ${busy || verb}
          <//>`
        }
      </div>
    </div>
  `;
}

/**
 * For a `Body` that does its action itself: what its dialog shows, and what its buttons do. `act(tell)`
 * does it, tells how far it is, and may return a note. An error after the dialog was closed is a note, too.
 */
export function useConfirm({ question, actions, act }) {
  const [state, setState] = useState({ busy: "", error: "" });
  const refuse = (error) => {
    const said = errorText(error);
    if (actions.isAsked(question)) setState({ busy: "", error: said });
    else actions.note(said, true);
  };
  const confirm = async () => {
    setState({ busy: "Working…", error: "" });
    try {
      const said = await act((busy) => setState({ busy, error: "" }));
      if (said) actions.note(said);
      if (actions.isAsked(question)) actions.settle();
    } catch (error) {
      refuse(error);
    }
    actions.refresh();
  };
  return { state, confirm, refuse };
}

/** Notes about actions that were just done. */
export function Notes({ list, actions }) {
  return html`
    <div class="notes" role="status" aria-live="polite">
      ${list.map(({ id, text, bad }) => {
        return html`
          <div key=${id} class="note ${bad ? "bad" : ""}">
            <${Icon} name=${bad ? "warning" : "check"} />
            <span>${visible(text)}</span>
            <button type="button" class="plain" aria-label="Dismiss" onClick=${() => actions.dismiss(id)}>
              <${Icon} name="close" />
            </button>
          </div>
        `;
      })}
    </div>
  `;
}
