// Moves through a list with the keyboard: the first key press goes to the first row.

const STEPS = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1 };

export function moveInList(event) {
  const step = STEPS[event.key];
  const links = step ? [...document.querySelectorAll(".list .row-link")] : [];
  const at = links.indexOf(document.activeElement);
  const isElsewhere = at < 0 && !document.activeElement.matches("body, main, h1");
  const next = links[at < 0 ? 0 : at + step];
  if (isElsewhere || !next) return;
  event.preventDefault();
  next.focus();
}
