/**
 * An optional reader of JSON that keeps every integer: those that a number cannot hold become `bigint`.
 *
 * It is slower than `JSON.parse`, and no part of the core. Give it to a client or to endpoints as `parse`.
 */

const TOKEN =
  /[ \t\n\r]*(?:([[\]{},:])|("(?:[^"\\]|\\.)*")|(-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?)|(true|false|null)|$)/suy;

/** Read JSON; integers beyond ±(2^53 - 1) are `bigint`. Throws SyntaxError for what is no JSON. */
export function parseWithBigint(source: string): unknown {
  const reader = new Reader(source);
  const value = reader.value();
  reader.end();
  return value;
}

class Reader {
  #at = 0;

  constructor(private readonly source: string) {}

  value(token: Token = this.#next()): unknown {
    switch (token.kind) {
      case "[":
        return this.#array();
      case "{":
        return this.#object();
      case "number":
        return numeral(token.text);
      case "string":
      case "word":
        return JSON.parse(token.text);
      default:
        return this.#refuse(token);
    }
  }

  end(): void {
    const token = this.#next();
    if (token.kind !== "end") {
      this.#refuse(token);
    }
  }

  #array(): unknown[] {
    const items: unknown[] = [];
    let token = this.#next();
    while (token.kind !== "]") {
      items.push(this.value(token));
      token = this.#separator("]");
    }
    return items;
  }

  #object(): Record<string, unknown> {
    const members: Record<string, unknown> = {};
    let token = this.#next();
    while (token.kind !== "}") {
      if (token.kind !== "string") {
        this.#refuse(token);
      }
      this.#expect(":");
      // Not an assignment, which would call a setter for `__proto__`.
      const entry = { value: this.value(), writable: true, enumerable: true, configurable: true };
      Object.defineProperty(members, JSON.parse(token.text), entry);
      token = this.#separator("}");
    }
    return members;
  }

  /** The end of a container, or the token after a comma. */
  #separator(end: "]" | "}"): Token {
    const token = this.#next();
    if (token.kind === end) {
      return token;
    }
    if (token.kind !== ",") {
      this.#refuse(token);
    }
    const following = this.#next();
    return following.kind === end ? this.#refuse(following) : following;
  }

  #expect(kind: string): void {
    const token = this.#next();
    if (token.kind !== kind) {
      this.#refuse(token);
    }
  }

  #next(): Token {
    TOKEN.lastIndex = this.#at;
    const found = TOKEN.exec(this.source);
    if (found === null) {
      throw new SyntaxError(`no JSON at character ${this.#at}`);
    }
    this.#at = TOKEN.lastIndex;
    const [, structure, string, number, word] = found;
    if (structure !== undefined) {
      return { kind: structure, text: structure };
    }
    if (string !== undefined) {
      return { kind: "string", text: string };
    }
    if (number !== undefined) {
      return { kind: "number", text: number };
    }
    return word === undefined ? { kind: "end", text: "" } : { kind: "word", text: word };
  }

  #refuse(token: Token): never {
    throw new SyntaxError(`no JSON: ${token.text || "the end"} before character ${this.#at}`);
  }
}

interface Token {
  readonly kind: string;
  readonly text: string;
}

function numeral(digits: string): number | bigint {
  const value = Number(digits);
  return Number.isSafeInteger(value) || !/^-?\d+$/.test(digits) ? value : BigInt(digits);
}
