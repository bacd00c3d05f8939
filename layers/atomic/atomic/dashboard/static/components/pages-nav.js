// The links to the pages of a client. Those for which a narrow window has no room are under *More*.

import { count, needAction } from "../core/format.js";
import { linkTo, listOf } from "../core/router.js";
import { html } from "../vendor/preact-htm.js";
import { WaitingCount } from "./waiting-count.js";

// Where a page has its link: always in the row; under More on a phone; under More below 1180 px as well.
const PAGES = [
  ["overview", "Overview", "wide"],
  ["runs", "Runs", "always"],
  ["problems", "Problems", "always"],
  ["waiting", "Waiting", "always"],
  ["schedules", "Schedules", "widest"],
  ["flow", "Flow", "widest"],
];

export function PagesNav({ route: { client, page }, needsAction, data, locked, actions }) {
  // What is answered on the page is counted anew.
  const open = page === "waiting" ? data?.events.length : "";
  const current = listOf(page);
  return html`
    <nav aria-label="Views">
      ${PAGES.map(
        ([each, name, room]) => html`
          <${Link} ...${{ client, page: each, current, room }}>
            ${name}
            ${each === "problems" && needsAction > 0 && html`<${NeedsAction} runs=${needsAction} />`}
            ${
              each === "waiting" &&
              !locked &&
              html`<${WaitingCount} key=${`${client} ${open}`} actions=${actions} />`
            }
          <//>
        `,
      )}
      <${More} key=${`${client} ${page}`} ...${{ client, current, actions }} />
    </nav>
  `;
}

function Link({ client, page, current, room, children }) {
  const isCurrent = current === page ? "page" : undefined;
  return html`
    <a class="room-${room}" href=${linkTo({ client, page })} aria-current=${isCurrent}>${children}</a>
  `;
}

function NeedsAction({ runs }) {
  return html`<span class="number bad" title=${needAction(runs)}>${count(runs)}</span>`;
}

/**
 * The pages for which there is no room, and on a phone the button of the header, too. It closes when a page
 * is chosen, with Esc, and when the focus leaves it.
 */
function More({ client, current, actions }) {
  const leave = ({ currentTarget, relatedTarget }) => {
    if (!currentTarget.contains(relatedTarget)) currentTarget.open = false;
  };
  const key = (event) => {
    const menu = event.currentTarget;
    if (event.key !== "Escape" || !menu.open) return;
    event.stopPropagation();
    menu.open = false;
    menu.firstElementChild.focus();
  };
  const others = PAGES.filter(([, , room]) => room !== "always");
  if (actions.may("start")) others.push(["start", "Start a run", "wide"]);
  const isHere = others.find(([page]) => page === current);
  return html`
    <details class="more" onFocusOut=${leave} onKeyDown=${key}>
      <summary class=${isHere ? `holds-${isHere[2]}` : ""}>More</summary>
      <div class="more-pages">
        ${others.map(
          ([page, name, room]) => html`<${Link} ...${{ client, page, current, room }}>${name}<//>`,
        )}
      </div>
    </details>
  `;
}
