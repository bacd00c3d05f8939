// Parts of the page that are loaded when they are needed first.

import { html, useLayoutEffect, useState } from "../vendor/preact-htm.js";

const MISSING = "A part of this page could not be loaded. Load the page again.";

/** Load a module, then call `use` with it. */
export async function withPart(load, actions, use) {
  let part;
  try {
    part = await load();
  } catch {
    actions.note(MISSING, true);
    return;
  }
  use(part);
}

/** A component in place of the one that `load()` resolves to; it shows nothing until that is there. */
export function later(load) {
  let Part = null;
  return function Later(props) {
    const [isMissing, setMissing] = useState(false);
    const [, setReady] = useState(false);
    useLayoutEffect(() => {
      if (Part) return;
      load().then(
        (loaded) => {
          Part = loaded;
          setReady(true);
        },
        () => setMissing(true),
      );
    }, []);
    if (isMissing) return html`<p class="error-text" role="alert">${MISSING}</p>`;
    return Part && html`<${Part} ...${props} />`;
  };
}
