// Asking before acting, and saying what came of it.

import { h } from "../core/dom.js";
import { icon } from "./icons.js";
import { button } from "./pieces.js";

/** The open question, if any: `{title, text, verb, danger, act}`. */
export function dialog(question, actions) {
  if (!question) return null;
  return h(
    "dialog",
    {
      key: "dialog",
      "aria-labelledby": "dialog-title",
      created: (node) => node.showModal(),
      on: {
        close: actions.closeDialog,
        click: (event) => event.target === event.currentTarget && actions.closeDialog(),
      },
    },
    h(
      "div",
      { class: "dialog-body" },
      h("h2", { id: "dialog-title" }, question.title),
      question.text.map((line) => h("p", null, line)),
      question.error && h("p", { class: "error-text", role: "alert" }, question.error),
      h(
        "div",
        { class: "dialog-actions" },
        button("Leave it", { disabled: question.busy }, actions.closeDialog),
        button(
          question.busy ? "Working…" : question.verb,
          { primary: true, danger: question.danger, disabled: question.busy },
          question.confirm,
        ),
      ),
    ),
  );
}

/** What has just been done. */
export function notes(list, actions) {
  return h(
    "div",
    { class: "notes", role: "status", "aria-live": "polite" },
    list.map((note) =>
      h(
        "div",
        { key: note.id, class: `note ${note.bad ? "bad" : ""}` },
        icon(note.bad ? "warning" : "check"),
        h("span", null, note.text),
        h(
          "button",
          {
            type: "button",
            class: "plain",
            "aria-label": "Dismiss",
            on: { click: () => actions.dismiss(note.id) },
          },
          icon("close"),
        ),
      ),
    ),
  );
}
