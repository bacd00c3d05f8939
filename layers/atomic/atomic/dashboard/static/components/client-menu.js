// The client in the header, which opens a dialog.

import { html } from "../vendor/preact-htm.js";
import { withPart } from "./later.js";

export function ClientButton({ client, actions }) {
  const show = () =>
    withPart(
      () => import("./clients.js"),
      actions,
      ({ Clients }) => actions.ask({ Body: Clients, client }),
    );
  return html`
    <button
      type="button"
      class="client"
      aria-haspopup="dialog"
      title="Change the client, or sign out"
      onClick=${show}
    >
      ${client}
    </button>
  `;
}
