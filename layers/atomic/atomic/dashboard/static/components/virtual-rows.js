// Which rows of a long list are in sight: only those are in the page. All rows have the same height, and
// the page scrolls, not the list.

import { useLayoutEffect, useState } from "../vendor/preact-htm.js";

// Rows beyond the edges, so that the focus moves on and scrolling shows no empty space.
const BEYOND = 12;
// The range changes by so many rows at once, so a page that scrolls is not drawn with each row.
const STEP = 6;

/** The range `{first, last, height}` of rows in sight; `list` is a ref of their element. */
export function useRowsInSight(list, size) {
  const [range, setRange] = useState({ first: 0, last: 40, height: 38 });
  const look = () => {
    if (!list.current) return;
    const height = heightOf(list.current);
    const top = -list.current.getBoundingClientRect().top;
    const first = Math.floor(Math.max(0, top / height - BEYOND) / STEP) * STEP;
    const last = Math.ceil((top + innerHeight) / height / STEP) * STEP + BEYOND;
    setRange((before) =>
      before.first === first && before.last === last && before.height === height
        ? before
        : { first, last, height },
    );
  };
  useLayoutEffect(() => {
    addEventListener("scroll", look, { passive: true });
    addEventListener("resize", look);
    return () => {
      removeEventListener("scroll", look);
      removeEventListener("resize", look);
    };
  }, []);
  useLayoutEffect(look, [size]);
  return range;
}

const heightOf = (list) => Number.parseFloat(getComputedStyle(list).getPropertyValue("--row-height")) || 38;

/** Scroll the page so that the row at this index stands in its middle, unless it is in sight. */
export function showRow(list, index) {
  const height = heightOf(list);
  const top = list.getBoundingClientRect().top + index * height;
  // What stands above the rows once they scroll: the header of the page, the tools, and the axis.
  const head = list.closest(".waterfall").querySelector(".waterfall-head");
  const hidden = Number.parseFloat(getComputedStyle(head).top) + head.offsetHeight;
  // On a narrow page, the panel stands over the rows.
  const panel = document.querySelector(".panel");
  const isOver = panel && getComputedStyle(panel).position === "fixed";
  const bottom = isOver ? panel.getBoundingClientRect().top : innerHeight;
  if (top >= hidden && top + height <= bottom) return;
  scrollTo({ top: scrollY + top - (hidden + bottom - height) / 2, behavior: "instant" });
}
