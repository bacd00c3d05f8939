// What differs between two texts, word by word.

const TOKEN = /[\p{L}\p{N}_]+|\s+|[^]/gu;
// A table of so many by so many numbers is made. What an endpoint said is kept up to 200 characters.
const TOKENS_MAX = 500;

/**
 * Both texts as lists of `{text, isOwn}`. Parts that are not own are the longest common sequence of words;
 * own ones stand in this text alone.
 */
export function differences(first, second) {
  const [left, right] = [first, second].map(tokensOf);
  const common = lengths(left, right);
  const parts = [[], []];
  let [at, to] = [0, 0];
  while (at < left.length || to < right.length) {
    if (at < left.length && to < right.length && left[at] === right[to]) {
      add(parts[0], left[at++], false);
      add(parts[1], right[to++], false);
    } else if (to === right.length || (at < left.length && common[at + 1][to] >= common[at][to + 1])) {
      add(parts[0], left[at++], true);
    } else {
      add(parts[1], right[to++], true);
    }
  }
  return parts;
}

/** The words of a text, its spaces and its signs; the end of a long text is one word. */
function tokensOf(text) {
  const tokens = text.match(TOKEN) ?? [];
  if (tokens.length <= TOKENS_MAX) return tokens;
  return [...tokens.slice(0, TOKENS_MAX), tokens.slice(TOKENS_MAX).join("")];
}

/** `[at][to]`: how many words the rests of both texts from there on have in common, in order. */
function lengths(left, right) {
  const rows = Array.from({ length: left.length + 1 }, () => new Uint16Array(right.length + 1));
  for (let at = left.length - 1; at >= 0; at--)
    for (let to = right.length - 1; to >= 0; to--)
      rows[at][to] =
        left[at] === right[to]
          ? rows[at + 1][to + 1] + 1
          : Math.max(rows[at + 1][to], rows[at][to + 1]);
  return rows;
}

function add(parts, text, isOwn) {
  const last = parts.at(-1);
  if (last?.isOwn === isOwn) last.text += text;
  else parts.push({ text, isOwn });
}
