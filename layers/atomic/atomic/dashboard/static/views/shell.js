// The frame around every view.

import { ClientButton } from "../components/client-menu.js";
import { Dialog, Notes } from "../components/dialog.js";
import { Icon } from "../components/icons.js";
import { later } from "../components/later.js";
import { PagesNav } from "../components/pages-nav.js";
import { timeOfDay, visible } from "../core/format.js";
import { linkTo } from "../core/router.js";
import { html } from "../vendor/preact-htm.js";

const Job = later(() => import("../components/job.js").then((part) => part.Job));

export function Shell({ state, actions, children }) {
  return html`
    <a class="skip" href="#main" onClick=${toMain}>Skip to the content</a>
    <${Header} state=${state} actions=${actions} />
    ${state.development && html`<${state.development.Bar} ...${state.development} />`}
    <main id="main" tabindex="-1">
      <${Stale} ...${state} />
      ${
        state.job?.client === state.route.client &&
        html`<${Job} key=${state.job.runId} job=${state.job} actions=${actions} />`
      }
      ${children}
    </main>
    <${Notes} list=${state.notes} actions=${actions} />
    ${
      state.question &&
      html`<${Dialog} key=${state.question.id} question=${state.question} actions=${actions} />`
    }
  `;
}

function Header({ state, actions }) {
  const { route, theme, error, data } = state;
  const { client } = route;
  return html`
    <header class="top">
      <a class="brand" href=${client ? linkTo({ client, page: "overview" }) : "#/"}>
        <img src="/static/icon.svg" alt="" width="22" height="22" />Atomic
      </a>
      ${client && html`<${PagesNav} ...${state} actions=${actions} />`}
      <div class="top-end">
        ${
          actions.may("start") &&
          html`<a class="button small room-wide" href=${linkTo({ client, page: "start" })}>Start a run</a>`
        }
        ${client && !data?.isStill && html`<${Pulse} error=${error} />`}
        ${client && html`<${ClientButton} client=${client} actions=${actions} />`}
        <button type="button" class="plain" title="Help (?)" aria-label="Help" onClick=${actions.help}>
          <${Icon} name="unknown" />
        </button>
        <button
          type="button"
          class="plain"
          aria-label="Colours: ${theme}. Change"
          title="Colours: ${theme}"
          onClick=${actions.nextTheme}
        >
          <${Icon} name="theme" />
        </button>
      </div>
    </header>
  `;
}

function Pulse({ error }) {
  const text = !error ? "Live" : isAway(error) ? "Not connected" : "Refused";
  return html`<span class="pulse ${error ? "off" : ""}" role="status">${text}</span>`;
}

/** Whether the server did not answer, or answered with a failure of its own. */
const isAway = ({ status }) => status === 0 || status >= 500;

function Stale({ error, data, readAt }) {
  if (!error || !data) return null;
  const said = `${error.message}. Showing data from ${timeOfDay(readAt)}. ${error.detail}`;
  return html`
    <p class="stale" role="alert">
      <${Icon} name="warning" />${visible(said)}${error.help && html` <a href=${error.help}>What to do</a>`}
    </p>
  `;
}

function toMain(event) {
  event.preventDefault();
  document.getElementById("main").focus();
}
