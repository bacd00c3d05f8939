// The question before an action, and the notes after it: what the store has of both.

import { errorText } from "./format.js";

const NOTE_MS = 6000;

/** `api()` makes requests for the client that is shown; `refresh()` reads the page again. */
export function createAsking(store, { api, refresh }) {
  let noteId = 0;
  let questionId = 0;

  const dismiss = (id) => store.set({ notes: store.get().notes.filter((each) => each.id !== id) });

  function note(text, bad = false) {
    const id = ++noteId;
    store.set({ notes: [...store.get().notes.slice(-2), { id, text, bad }] });
    setTimeout(() => dismiss(id), NOTE_MS);
  }

  /** Close the dialog of an action that is done, which may have removed the button that opened it. */
  function settle() {
    store.set({ question: null });
    requestAnimationFrame(() => document.getElementById("main").focus({ preventScroll: true }));
  }

  async function confirm(question) {
    const answer = (changes) => store.set({ question: { ...store.get().question, ...changes } });
    // Another question may have been opened meanwhile.
    const isOpen = () => store.get().question?.act === question.act;
    answer({ busy: "Working…", error: "" });
    try {
      note(await question.act(api()));
      refresh();
      if (isOpen()) settle();
    } catch (error) {
      const said = errorText(error);
      if (isOpen()) answer({ busy: "", error: said });
      else note(said, true);
    }
  }

  return {
    ask(question) {
      const id = ++questionId;
      store.set({ question: { ...question, id, confirm: () => confirm(question) } });
    },
    closeDialog: () => store.set({ question: null }),
    /** Whether this question is still open. */
    isAsked: (question) => store.get().question === question,
    settle,
    note,
    dismiss,
    async copy(text) {
      try {
        await navigator.clipboard.writeText(text);
        note("Copied.");
      } catch {
        note("The browser did not allow copying.", true);
      }
    },
  };
}
