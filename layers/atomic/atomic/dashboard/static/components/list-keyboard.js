// Moving through a list by keys: the first key of all goes to its first row.

const STEPS = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1 };

export function moveInList(event) {
  const step = STEPS[event.key];
  const links = step ? [...document.querySelectorAll(".list .row-link")] : [];
  const at = links.indexOf(document.activeElement);
  const isElsewhere = at < 0 && !document.activeElement.matches("body, main");
  const next = links[at < 0 ? 0 : at + step];
  if (isElsewhere || !next) return;
  event.preventDefault();
  next.focus();
}
