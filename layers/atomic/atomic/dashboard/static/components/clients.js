// The dialog behind the client in the header: the other clients of this browser, and the way out.

import { knownClients } from "../core/clients.js";
import { linkTo } from "../core/router.js";
import { html } from "../vendor/preact-htm.js";
import { Button } from "./widgets.js";

export function Clients({ question: { client }, actions, close }) {
  const others = knownClients().filter((each) => each !== client);
  return html`
    <div class="dialog-body">
      <h2 id="dialog-title">Client ${client}</h2>
      ${others.length > 0 && html`<${Others} others=${others} />`}
      <p class="soft">
        Signing out forgets the API key of this tab, and the recent searches of this client.
      </p>
      <div class="dialog-actions">
        <${Button} autofocus onClick=${close}>Close<//>
        <a class="button" href="#/">Open a client…</a>
        <${Button} onClick=${actions.signOut}>Sign out<//>
      </div>
    </div>
  `;
}

function Others({ others }) {
  return html`
    <h3>Other clients of this browser</h3>
    <ul class="clients">
      ${others.map(
        (client) => html`
          <li key=${client}><a href=${linkTo({ client, page: "overview" })}>${client}</a></li>
        `,
      )}
    </ul>
  `;
}
