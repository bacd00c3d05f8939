// What stands around every view.

import { dialog, notes } from "../components/dialog.js";
import { icon } from "../components/icons.js";
import { h } from "../core/dom.js";
import { count } from "../core/format.js";
import { linkTo } from "../core/router.js";

const PAGES = [
  ["overview", "Overview"],
  ["runs", "Runs"],
  ["dead-letters", "Dead letters"],
];

export function shell(state, actions, body) {
  return [
    h("a", { class: "skip", href: "#main", on: { click: toMain } }, "Skip to the content"),
    header(state, actions),
    h("main", { id: "main", tabindex: "-1" }, stale(state), body),
    notes(state.notes, actions),
    dialog(state.question, actions),
  ];
}

function header({ route, deadLetters, theme, error }, actions) {
  const current = route.page === "run" ? "runs" : route.page;
  return h(
    "header",
    { class: "top" },
    h(
      "a",
      { class: "brand", href: route.client ? linkTo({ client: route.client, page: "overview" }) : "#/" },
      h("img", { src: "/static/icon.svg", alt: "", width: "22", height: "22" }),
      "Atomic",
    ),
    route.client &&
      h(
        "nav",
        { "aria-label": "Views" },
        PAGES.map(([page, name]) =>
          h(
            "a",
            { href: linkTo({ client: route.client, page }), "aria-current": current === page && "page" },
            name,
            page === "dead-letters" &&
              deadLetters > 0 &&
              h("span", { class: "number bad" }, count(deadLetters)),
          ),
        ),
      ),
    h(
      "div",
      { class: "top-end" },
      route.client &&
        h(
          "span",
          { class: `pulse ${error ? "off" : ""}`, role: "status" },
          error ? (isAway(error) ? "Not connected" : "Refused") : "Live",
        ),
      route.client && h("a", { class: "client", href: "#/", title: "Another client" }, route.client),
      h(
        "button",
        {
          type: "button",
          class: "plain",
          "aria-label": `Colours: ${theme}. Change`,
          title: `Colours: ${theme}`,
          on: { click: actions.nextTheme },
        },
        icon("theme"),
      ),
    ),
  );
}

/** Whether the server did not answer, or not as one that works. */
const isAway = ({ status }) => status === 0 || status >= 500;

function stale({ error, data }) {
  if (!error || !data) return null;
  return h(
    "p",
    { class: "stale", role: "alert" },
    icon("warning"),
    `${error.message}. What you see is from before. ${error.detail}`,
  );
}

function toMain(event) {
  event.preventDefault();
  document.getElementById("main").focus();
}
