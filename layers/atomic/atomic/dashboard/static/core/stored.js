// JSON that clients have stored (payloads and responses), kept as text. JavaScript would round integers
// beyond 2^53 and lose the spelling of numbers, and its objects sort numeric member names first.

const MEMBER = /"(?:payload|response)"\s*:\s*/g;
const TOKEN = /\s*(?:([{}[\],:])|(")|([^\s{}[\],:"]+))/y;
// What an SDK writes in place of a value that it encrypts (docs/encryption.md).
const ENCRYPTED = /^\{\s*"\$enc"\s*:\s*\{[^{}]*\}\s*\}$/;
const INDENTS_MAX = 8;
// A view is drawn twice a second, and each answer has the same values.
const indents = new Map();

/** One JSON value as it is stored. */
export class Stored {
  constructor(text) {
    this.text = text;
  }

  get isNull() {
    return this.text === "null";
  }

  /** The id of the key that it is encrypted with, and the bytes of ciphertext; null for any other value. */
  get encryption() {
    const { k, c } = ENCRYPTED.test(this.text) ? JSON.parse(this.text).$enc : {};
    if (typeof k !== "string" || typeof c !== "string") return null;
    return { keyId: k, bytes: Math.floor((c.replace(/=+$/, "").length * 3) / 4) };
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

/** Read an answer of the API; the values of `payload` and `response` become `Stored`. */
export function parse(text) {
  const stored = [];
  let rest = "";
  let from = 0;
  const member = new RegExp(MEMBER);
  // A quote inside a string has a backslash before it, so each match is a real name. Its value is skipped,
  // so names inside the value never match.
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

/** The position after the quote that closes the one at `begin`. */
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

/** The same string with characters instead of \u escapes. */
const readable = (string) => (string.includes("\\u") ? JSON.stringify(JSON.parse(string)) : string);
