// JSON as text, with the ids of runs as links.

import { h } from "../core/dom.js";
import { linkTo } from "../core/router.js";

const RUN_ID = /(run_[0-9a-f]{32})/;
// A page must stay quick whatever a payload holds; all of it can be copied.
const SHOWN_CHARS = 20_000;

/** A `Stored` value; `name` is what assistive technology calls it. */
export function json(name, value, client) {
  const text = value.shown;
  const cut = text.length > SHOWN_CHARS;
  const parts = text.slice(0, SHOWN_CHARS).split(RUN_ID);
  return [
    h(
      "pre",
      { class: "json", tabindex: "0", role: "region", "aria-label": name },
      parts.map((part, at) =>
        at % 2 ? h("a", { href: linkTo({ client, page: "run", id: part }) }, part) : part,
      ),
    ),
    cut &&
      h(
        "p",
        { class: "soft" },
        `The first ${SHOWN_CHARS} of ${text.length} characters. Copy takes all of it.`,
      ),
  ];
}
