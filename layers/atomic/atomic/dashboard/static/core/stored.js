// JSON that clients have stored: payloads and responses, kept as the text that came. JavaScript's numbers
// round what is beyond 2^53 and forget how it was written, and its objects put "10" in front of "9".

const MEMBER = /"(?:payload|response)"\s*:\s*/g;
const TOKEN = /\s*(?:([{}[\],:])|(")|([^\s{}[\],:"]+))/y;
const INDENTS_MAX = 8;
// A view is drawn twice a second, and the same values come with each answer.
const indents = new Map();

/** One JSON value as it is stored. */
export class Stored {
  constructor(text) {
    this.text = text;
  }

  get isNull() {
    return this.text === "null";
  }

  /** For people: a string without its quotes, anything else with a line for each member. */
  get shown() {
    return this.text.startsWith('"') ? JSON.parse(this.text) : this.indented;
  }

  /** JSON with a line for each member. */
  get indented() {
    let made = indents.get(this.text);
    if (made === undefined) {
      if (indents.size === INDENTS_MAX) indents.clear();
      indents.set(this.text, (made = indent(this.text)));
    }
    return made;
  }
}

/** Read an answer of the API; what stands under `payload` and `response` becomes `Stored`. */
export function parse(text) {
  const stored = [];
  let rest = "";
  let from = 0;
  const member = new RegExp(MEMBER);
  // A quote within a string has a backslash before it, so a name that is found is one. What it holds is
  // stepped over, and no name in there is ever looked at.
  while (member.exec(text)) {
    const begin = member.lastIndex;
    const end = endOfValue(text, begin);
    rest += text.slice(from, begin) + stored.length;
    stored.push(new Stored(text.slice(begin, end)));
    from = member.lastIndex = end;
  }
  rest += text.slice(from);
  if (!stored.length) return JSON.parse(rest);
  return JSON.parse(rest, (name, value) =>
    name === "payload" || name === "response" ? stored[value] : value,
  );
}

/** Write an object that may hold `Stored` values, with a line for each member. */
export function write(value, margin = "") {
  if (value instanceof Stored) return value.indented.replaceAll("\n", `\n${margin}`);
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const inner = `${margin}  `;
  const members = Object.entries(value).map(
    ([name, member]) => `${inner}${JSON.stringify(name)}: ${write(member, inner)}`,
  );
  return `{\n${members.join(",\n")}\n${margin}}`;
}

function endOfValue(text, begin) {
  if (text[begin] === '"') return endOfString(text, begin);
  const mark = "{[".includes(text[begin]) ? /["{}[\]]/g : /[,}\]\s]|$/g;
  mark.lastIndex = begin;
  let depth = 0;
  for (;;) {
    const { 0: found, index } = mark.exec(text);
    if (found === '"') mark.lastIndex = endOfString(text, index);
    else if (found === "{" || found === "[") depth += 1;
    else if (depth > 1) depth -= 1;
    else return depth ? index + 1 : index;
  }
}

/** Behind the quote that closes the one at `begin`. */
function endOfString(text, begin) {
  for (let end = begin; ; ) {
    end = text.indexOf('"', end + 1);
    let slashes = 0;
    while (text[end - 1 - slashes] === "\\") slashes += 1;
    if (slashes % 2 === 0) return end + 1;
  }
}

function indent(text) {
  const token = new RegExp(TOKEN);
  const parts = [];
  let margin = "\n";
  let opened = false;
  for (let found; (found = token.exec(text)); ) {
    const [, sign, quote, word] = found;
    const closes = sign === "}" || sign === "]";
    if (closes) margin = margin.slice(0, -2);
    // An empty array or object stays on its line.
    if (opened !== closes) parts.push(margin);
    opened = sign === "{" || sign === "[";
    if (opened) margin += "  ";
    if (quote) {
      const end = endOfString(text, token.lastIndex - 1);
      parts.push(readable(text.slice(token.lastIndex - 1, end)));
      token.lastIndex = end;
    } else if (sign === ",") parts.push(",", margin);
    else parts.push(sign === ":" ? ": " : (sign ?? word));
  }
  return parts.join("");
}

/** The same string, with its letters instead of their numbers. */
const readable = (string) => (string.includes("\\u") ? JSON.stringify(JSON.parse(string)) : string);
