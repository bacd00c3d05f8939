// The sign-in page: the client id, and the API key where the server needs one.

import { Field } from "../components/fields.js";
import { Icon } from "../components/icons.js";
import { Button } from "../components/widgets.js";
import { isClientId } from "../core/router.js";
import { html, useLayoutEffect, useRef } from "../vendor/preact-htm.js";

/** `state.locked`: the server has refused a request because it had no valid key. */
export function View({ state: { route, error, locked }, actions }) {
  const wrong = locked && error?.status === 401;
  const form = useRef();
  useLayoutEffect(() => {
    if (wrong) form.current.elements.key.focus();
  }, [wrong]);
  const submit = (event) => {
    event.preventDefault();
    const { client, key } = form.current.elements;
    if (isClientId(client.value)) actions.enter(client.value, key.value.trim());
  };
  return html`
    <form ref=${form} class="sign-in" onSubmit=${submit}>
      <${Icon} name="key" />
      <h1>${wrong ? `“${route.client}” needs its API key` : "Open a client"}</h1>
      <p class="soft">
        ${
          wrong
            ? "The server needs a key. The key stays in this tab only and is gone when you close it."
            : "A client owns runs. Its id comes first in the path you post to, such as “dev” in POST /dev."
        }
      </p>
      <${Field}
        label="Client"
        name="client"
        required
        defaultValue=${route.client}
        placeholder="dev"
        pattern="[A-Za-z0-9][A-Za-z0-9_\\-]{0,63}"
      />
      <${Field}
        label="API key"
        name="key"
        type="password"
        placeholder=${wrong ? "" : "not with --dev"}
        required=${wrong}
      />
      ${
        wrong &&
        actions.hasKey() &&
        html`
          <p class="error-text" role="alert">
            This key is not valid for this client. ${"`atomic clients create`"} makes a key.
          </p>
        `
      }
      <${Button} primary type="submit">Show runs<//>
    </form>
  `;
}
