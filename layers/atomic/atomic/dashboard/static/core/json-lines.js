// JSON with a line for each member, as lines that can be folded. Pure, no DOM.

const OPENS = /[{[]$/;
const NAMED = /^(\s*)("(?:[^"\\]|\\.)*")(: )(.*)$/s;
const PLAIN = /^(\s*)()()(.*)$/s;
const TRACE = /^(?:stack|stack_?trace|trace_?back)$/i;

/** The lines of indented JSON: `{indent, name, value, end}`; `end` is the last line of what it opens. */
export function linesOf(text) {
  const opened = [];
  const lines = text.split("\n").map((line) => {
    const [, indent, name, , value] = line.match(NAMED) ?? line.match(PLAIN);
    return { indent, name, value, end: 0 };
  });
  for (const [at, line] of lines.entries()) {
    if (OPENS.test(line.value)) opened.push(at);
    else if (/^[}\]]/.test(line.value) && opened.length) lines[opened.pop()].end = at;
  }
  return lines;
}

/** The indexes of the lines that are shown when the lines in `folded` are. */
export function unfolded(lines, folded) {
  const shown = [];
  for (let at = 0; at < lines.length; at++) {
    shown.push(at);
    if (folded.has(at) && lines[at].end) at = lines[at].end;
  }
  return shown;
}

/** The lines of a stack trace in an answer: a text member of the name that languages give it. */
export function stackTraceOf(text) {
  if (!text.startsWith("{")) return null;
  try {
    return find(JSON.parse(text));
  } catch {
    return null;
  }
}

function find(value) {
  if (value === null || typeof value !== "object") return null;
  for (const [name, member] of Object.entries(value)) {
    if (TRACE.test(name) && Array.isArray(member) && member.every((line) => typeof line === "string"))
      return member.join("\n");
    if (TRACE.test(name) && typeof member === "string" && member.includes("\n")) return member;
    const below = find(member);
    if (below) return below;
  }
  return null;
}
