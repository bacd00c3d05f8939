// Who is looking: the client, and its key where the server is locked.

import { field } from "../components/filters.js";
import { icon } from "../components/icons.js";
import { h } from "../core/dom.js";
import { isClientId } from "../core/router.js";

/** `locked` when the server has refused a request for want of a key. */
export function view({ route, error, locked }, actions) {
  const wrong = locked && error?.status === 401;
  return h(
    "form",
    { class: "sign-in", key: "sign-in", on: { submit } },
    icon("key"),
    h("h1", null, wrong ? `“${route.client}” needs its API key` : "Whose runs?"),
    h(
      "p",
      { class: "soft" },
      wrong
        ? "The server is locked. The key stays in this tab only and is gone when you close it."
        : "A client is who owns runs: the first part of the path you post to, as “dev” in POST /dev.",
    ),
    field("Client", {
      name: "client",
      required: true,
      value: route.client,
      placeholder: "dev",
      pattern: "[A-Za-z0-9][A-Za-z0-9_\\-]{0,63}",
    }),
    field("API key", {
      name: "key",
      type: "password",
      placeholder: wrong ? "" : "not with --dev",
      required: wrong,
      created: (node) => wrong && node.focus(),
    }),
    wrong &&
      actions.hasKey() &&
      h(
        "p",
        { class: "error-text", role: "alert" },
        "That key does not open this client. `atomic clients create` makes a key.",
      ),
    h("button", { class: "button primary" }, "Show runs"),
  );

  function submit(event) {
    event.preventDefault();
    const { client, key } = event.target.elements;
    if (isClientId(client.value)) actions.enter(client.value, key.value.trim());
  }
}
