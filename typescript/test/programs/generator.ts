/**
 * Generates a program from a seed.
 *
 * Result and effects of a program must not depend on the order of concurrent branches, because they are compared. So
 * where a failure ends a group, one branch can fail at most, and the others are only `maybe`, whose effects are not
 * compared. Branches return what they found. A race has one branch that can win.
 */

import { type Body, ENTRY, type Program, type Statement } from "./language.ts";

const DEPTH_MAX = 3;
const WAITS = ['"2s"', "1500", "{ minutes: 3 }", '"3h"'];

/** The program of a seed. */
export function programOf(seed: number): Program {
  const chance = new Chance(seed);
  const functions: Record<string, Body> = {};
  const names = [...["inner", "outer"].slice(0, chance.one([0, 1, 1, 2])), ENTRY];
  const known: { name: string; mayFail: boolean }[] = [];
  for (const name of names) {
    const writer = new Writer(chance, name, known, name === ENTRY ? chance.within(3, 8) : chance.within(1, 3));
    functions[name] = writer.whole();
    known.push({ name, mayFail: writer.mayFail });
  }
  return { functions, payload: chance.within(0, 2) };
}

/** Random numbers from a seed (mulberry32). */
export class Chance {
  #state: number;

  constructor(seed: number) {
    this.#state = (seed + 1) * 0x9e3779b1;
  }

  /** From 0 to 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  within(first: number, last: number): number {
    return first + Math.floor(this.next() * (last - first + 1));
  }

  one<Item>(items: readonly Item[]): Item {
    return items[this.within(0, items.length - 1)] as Item;
  }

  is(share: number): boolean {
    return this.next() < share;
  }
}

interface State {
  /** Whether branches of JavaScript's own run side by side here: each call then needs a name or key of its own. */
  readonly isShared: boolean;
  /** The variables that tell apart how often this place is reached: indexes of loops, and of branches. */
  readonly loops: readonly string[];
  readonly branches: readonly string[];
  /** The strand of this place, in which effects have an order. */
  readonly strand: string;
  readonly depth: number;
  /** Whether something around this place catches. */
  readonly isCaught: boolean;
  /** The sagas around it. */
  readonly sagas: readonly string[];
}

class Writer {
  mayFail = false;
  #sites = 0;

  constructor(
    readonly chance: Chance,
    readonly name: string,
    readonly known: readonly { name: string; mayFail: boolean }[],
    private budget: number,
  ) {}

  whole(): Body {
    const state: State = {
      isShared: false,
      loops: [],
      branches: [],
      strand: "m",
      depth: 0,
      isCaught: false,
      sagas: [],
    };
    const body = this.statements(state, 99);
    const isLast = this.name === ENTRY && this.chance.is(0.15);
    return [
      "const out = [n];",
      ...body,
      ...(isLast ? ['if (n < 2 && ctx.stepId.endsWith("-root")) return ctx.continueAs(n + 1);'] : []),
      "return out;",
    ];
  }

  statements(state: State, most: number): Statement[] {
    const body: Statement[] = [];
    while (body.length === 0 || (this.budget > 0 && body.length < most)) {
      this.budget--;
      body.push(...this.statement(state));
      if (state.depth > 0 && this.chance.is(0.35)) {
        break;
      }
    }
    return body;
  }

  statement(state: State): Statement[] {
    const isRoot = state.strand === "m";
    const weighted: [number, (state: State) => Statement[]][] = [
      [24, this.step],
      [state.isCaught ? 9 : 3, this.failing],
      [6, this.sleep],
      [10, this.event],
      [8, this.value],
      [10, this.together],
      [5, this.batch],
      [4, this.race],
      [4, this.until],
      [4, this.deferred],
      [this.known.length > 0 ? 14 : 0, this.nested],
      [isRoot && state.depth === 0 ? 4 : 0, this.recursion],
      [isRoot && state.depth === 0 ? 3 : 0, this.heldUp],
      [isRoot ? 2 : 0, this.version],
      [state.sagas.length > 0 ? 30 : 0, this.sagaStep],
    ];
    if (state.depth < DEPTH_MAX && this.budget > 0) {
      weighted.push(
        [14, this.tried],
        [8, this.loop],
        [5, this.condition],
        [12, this.branched],
        [6, this.generated],
        [8, this.saga],
      );
    }
    let left = this.chance.next() * weighted.reduce((sum, [weight]) => sum + weight, 0);
    for (const [weight, make] of weighted) {
      left -= weight;
      if (left < 0) {
        return make.call(this, state);
      }
    }
    return this.step(state);
  }

  // Expressions

  /** A name that is used at one place only. */
  site(prefix: string): string {
    return `${prefix}${this.#sites++}`;
  }

  /** A text of its own for each branch, and for each turn of the loops if `turns`. */
  named(prefix: string, state: State, turns = false): string {
    const marks = [...state.branches, ...(turns ? state.loops : [])];
    return `\`${this.site(prefix)}${marks.map((mark) => `-\${${mark}}`).join("")}\``;
  }

  number(state: State): string {
    const some = ["n", ...state.loops, ...state.branches];
    return this.chance.is(0.5)
      ? `${this.chance.within(0, 9)}`
      : `${this.chance.one(some)} + ${this.chance.within(0, 4)}`;
  }

  /** The strand, for calls that are made one after the other. */
  seat(state: State): string {
    return `\`${state.strand}${state.branches.map((mark) => `-\${${mark}}`).join("")}\``;
  }

  given(state: State, number: string, isOrdered: boolean): string {
    return `{ at: ${isOrdered ? this.seat(state) : '""'}, n: ${number} }`;
  }

  /** Options of a call, with a key where it needs one. */
  options(state: State, isKeyed: boolean, more: string[] = []): string {
    const key = isKeyed ? [`key: ${this.named("k", state, true)}`] : [];
    const all = [...key, ...more];
    return all.length > 0 ? `, { ${all.join(", ")} }` : "";
  }

  sure(state: State, isKeyed = state.isShared, isOrdered = false, number = this.number(state)): string {
    const step = this.chance.one(["add", "add", "note", "double", "shaky", "echo"]);
    const more = this.chance.is(0.1) ? [`name: "named"`] : [];
    return `ctx.step(${step}, ${this.given(state, number, isOrdered)}${this.options(state, isKeyed, more)})`;
  }

  /** A call that fails, and has no effect. */
  refused(state: State, isKeyed = state.isShared): string {
    const isOdd = this.chance.is(0.7);
    const number = isOdd ? `${2 * this.chance.within(1, 40)}` : `${this.chance.within(1, 99)}`;
    const more = isOdd ? [] : ["retry: { count: 1, backOff: 500 }"];
    return `ctx.step(${isOdd ? "odd" : "broken"}, ${this.given(state, number, false)}${this.options(state, isKeyed, more)})`;
  }

  fails(state: State): void {
    this.mayFail ||= !state.isCaught;
  }

  // Single calls

  step(state: State): Statement[] {
    const call = this.sure(state, state.isShared || this.chance.is(0.15), true);
    if (this.chance.is(0.2)) {
      const next = this.options(state, true);
      return [`out.push(await ${call}.then((v) => ctx.step(note, { at: "", n: v }${next})));`];
    }
    return [`out.push(await ${call});`];
  }

  failing(state: State): Statement[] {
    this.fails(state);
    return [`out.push(await ${this.refused(state)});`];
  }

  sleep(state: State): Statement[] {
    const name = state.isShared || this.chance.is(0.3) ? `, ${this.named("z", state)}` : "";
    return [`await ctx.sleep(${this.chance.one(WAITS)}${name});`];
  }

  event(state: State): Statement[] {
    const kind = this.chance.within(0, 5);
    if (kind === 0) {
      return [`out.push(await ctx.event(${this.named("late", state)}, { deadline: "1h", default: "none" }));`];
    }
    if (kind === 1 && state.isCaught) {
      // One is rejected, and time does not pass while it is: nothing is due.
      const refused = [`${this.named("no", state)}`, `${this.named("late", state)}, { deadline: "2d" }`];
      return [`out.push(await ctx.event(${this.chance.one(refused)}));`];
    }
    const name = state.isShared
      ? this.named("e", state)
      : this.chance.is(0.5)
        ? `"e-${this.name}"`
        : this.named("e", state);
    if (kind === 2) {
      const opened = this.site("o");
      const hide = `ctx.step(hide, { at: ${this.seat(state)}, n: ${opened}.id }${this.options(state, state.isShared)})`;
      return [
        `const ${opened} = await ctx.openEvent(${name});`,
        `await ${hide};`,
        `out.push(await ctx.event(${name}));`,
      ];
    }
    if (kind === 3) {
      const hide = `c.step(hide, { at: "", n: url }${this.options(state, state.isShared)})`;
      return [`out.push(await ctx.callback(${this.named("c", state)}, (url, c) => ${hide}));`];
    }
    return [`out.push(await ctx.event(${name}));`];
  }

  value(state: State): Statement[] {
    const name = state.isShared || this.chance.is(0.5) ? this.named("v", state) : '"v"';
    const found = this.site("r");
    const hide = `await ctx.step(hide, { at: ${this.seat(state)}, n: ${found} }${this.options(state, state.isShared)});`;
    const kinds = [
      `ctx.run(${name}, () => ${this.number(state)})`,
      `ctx.run(${name}, async () => ({ at: new Date(5) }))`,
    ];
    // Chance: a replay that computes it again sends another payload.
    const drawn = [
      `ctx.run(${name}, () => Math.random())`,
      ...(state.isShared ? [] : ["ctx.uuid()", "ctx.now()", "ctx.random()"]),
    ];
    return this.chance.is(0.5)
      ? [`out.push(await ${this.chance.one(kinds)});`]
      : [`const ${found} = await ${this.chance.one(drawn)};`, hide];
  }

  version(state: State): Statement[] {
    const name = this.named("w", state);
    return [`out.push(await ctx.version(${name}, 3));`];
  }

  until(state: State): Statement[] {
    const name = state.isShared || this.chance.is(0.5) ? `, name: ${this.named("u", state)}` : "";
    const check = this.chance.is(0.5) ? "count" : "(seen) => [seen >= 2, seen + 1]";
    if (state.isCaught && this.chance.is(0.3)) {
      return [`out.push(await ctx.until(${check}, { state: 0, every: "1m", maxAttempts: 2${name} }));`];
    }
    return [`out.push(await ctx.until(${check}, { state: 0, every: "20s", backOff: 2${name} }));`];
  }

  nested(state: State): Statement[] {
    const { name, mayFail } = this.chance.one(this.known);
    if (mayFail) {
      this.fails(state);
    }
    const number = this.number(state);
    if (this.chance.is(0.6)) {
      const retry = ["retry: { count: 2, backOff: 500 }"];
      return [`out.push(await ctx.step(${name}, ${number}${this.options(state, state.isShared, retry)}));`];
    }
    const own = state.isShared || this.chance.is(0.3) ? [`name: ${this.named("x", state)}`] : [];
    const options = `, { ${["retry: { count: 2, backOff: 500 }", ...own].join(", ")} }`;
    if (this.chance.is(0.5)) {
      return [`out.push(await ctx.runWorkflow(${name}, ${number}${options}));`];
    }
    const run = this.site("h");
    const between = this.chance.is(0.5)
      ? [`await ctx.step(note, ${this.given(state, number, true)}${this.options(state, state.isShared)});`]
      : [];
    return [
      `const ${run} = await ctx.startRun(${name}, ${number}${options});`,
      ...between,
      `out.push(await ${run}.result());`,
    ];
  }

  recursion(_: State): Statement[] {
    this.mayFail = true;
    return [`if (n > 0) out.push(await ctx.step(${this.name}, n - 1, { retry: { count: 2, backOff: 500 } }));`];
  }

  /** Another call of the handler is needed. */
  heldUp(_: State): Statement[] {
    return ["if (ctx.attempt === 1) throw new RetryAfter(1);"];
  }

  // Side by side

  together(state: State): Statement[] {
    const count = this.chance.within(2, 4);
    const sure = Array.from({ length: count }, () => this.sure(state));
    const at = this.chance.within(0, count - 1);
    const kind = this.chance.within(0, state.isCaught ? 5 : 4);
    switch (kind) {
      case 0:
        return [
          `out.push(...(await Promise.allSettled([${replaced(sure, at, this.refused(state)).join(", ")}])).map(settled));`,
        ];
      case 1: {
        const refused = sure.map((call, number) => (number === at ? call : this.refused(state, true)));
        return [`out.push(await Promise.any([${refused.join(", ")}]));`];
      }
      case 2: {
        const item = this.site("item");
        const key =
          state.isShared || this.chance.is(0.3)
            ? `, { key: ${this.named("k", { ...state, branches: [...state.branches, item] }, true)} }`
            : "";
        return [
          `out.push(await Promise.all([3, 5, 8].map((${item}) => ctx.step(add, { at: "", n: ${item} }${key}))));`,
        ];
      }
      case 5: {
        const maybe = sure.map(() => `ctx.step(maybe, { at: "", n: 1 }${this.options(state, true)})`);
        return [`out.push(await Promise.all([${replaced(maybe, at, this.refused(state, true)).join(", ")}]));`];
      }
      default:
        return [`out.push(await Promise.all([${sure.join(", ")}]));`];
    }
  }

  batch(state: State): Statement[] {
    const named = state.isShared || this.chance.is(0.3) ? [`name: ${this.named("b", state)}`] : [];
    const limit = this.chance.is(0.5) ? [`concurrency: ${this.chance.within(1, 2)}`] : [];
    const options = [...named, ...limit].length > 0 ? `, { ${[...named, ...limit].join(", ")} }` : "";
    const items = `[1, 2, 3, 4].map((n) => ({ at: "", n }))`;
    switch (this.chance.within(0, 3)) {
      case 0:
        return [`out.push((await ctx.map(${items}, add${options})).results());`];
      case 1:
        return [`out.push([...(await ctx.map(${items}, odd${options}))].map(settled));`];
      case 2: {
        const own = { ...state, isShared: false };
        const calls = [this.sure(own), this.sure(own), this.refused(own)].map(
          (call, at) => `w${at}: async (ctx) => ${call}`,
        );
        return [`out.push([...(await ctx.parallel({ ${calls.join(", ")} }${options}))].map(settled));`];
      }
      default: {
        const tolerated = `, { ${[...named, "toleratedFailures: 0"].join(", ")} }`;
        const work = `(c, n) => n === 2 ? c.step(odd, { at: "", n }) : c.step(maybe, { at: "", n })`;
        return [`out.push((await ctx.map([1, 2, 3], ${work}${tolerated})).endedBy);`];
      }
    }
  }

  race(state: State): Statement[] {
    const never = this.named("never", state, true);
    if (this.chance.is(0.4)) {
      return [`out.push(await Promise.race([${this.sure(state)}, ctx.event(${never})]));`];
    }
    const own = { ...state, isShared: false };
    const options = state.isShared ? `, { name: ${this.named("b", state)} }` : "";
    return [
      `out.push(await ctx.race({ one: (ctx) => ${this.sure(own)}, other: (ctx) => ctx.event(${never}) }${options}));`,
    ];
  }

  /** A call that is awaited later. Nothing in between fails. */
  deferred(state: State): Statement[] {
    const found = this.site("p");
    return [
      `const ${found} = ${this.sure(state, true)};`,
      `out.push(await ${this.sure(state, state.isShared, true)});`,
      `out.push(await ${found});`,
    ];
  }

  /** The same function several times side by side, each time with several calls of its own. */
  branched(state: State): Statement[] {
    const [name, index] = [this.site("branch"), this.site("b")];
    const isNative = this.chance.is(0.5);
    const inner: State = {
      ...state,
      isShared: isNative,
      branches: [...state.branches, index],
      strand: `${state.strand}.${name}`,
      depth: state.depth + 1,
      sagas: [],
      // What fails is shown, and ends nothing else.
      isCaught: true,
    };
    const body = ["const out = [];", ...this.statements(inner, 4), "return out;"];
    const head = isNative ? `const ${name} = async (${index}) =>` : `const ${name} = async (ctx, ${index}) =>`;
    const options = state.isShared ? `, { name: ${this.named("b", state)} }` : "";
    const settled = isNative
      ? `[...(await Promise.allSettled([0, 1, 2].map(${name})))]`
      : this.chance.is(0.5)
        ? `[...(await ctx.map([0, 1, 2], ${name}${options}))]`
        : `[...(await ctx.parallel([0, 1].map((b) => (c) => ${name}(c, b))${options}))]`;
    return [[[head, body]], `out.push(${settled}.map(settled));`];
  }

  // Compound statements

  tried(state: State): Statement[] {
    const catches = this.chance.is(0.75);
    const inner = { ...state, depth: state.depth + 1, isCaught: state.isCaught || catches };
    const body = this.statements(inner, 3);
    if (this.chance.is(0.6)) {
      body.push(...this.endOfTry(inner));
    }
    const clauses: [string, Body][] = [["try", body]];
    const after = { ...state, depth: state.depth + 1 };
    if (catches) {
      const rethrow = this.chance.is(0.15) ? ["if (!(error instanceof StepFailedError)) throw error;"] : [];
      if (rethrow.length > 0) {
        this.fails(state);
      }
      clauses.push([
        "catch (error)",
        ["out.push(reason(error));", ...rethrow, ...(this.chance.is(0.6) ? this.statements(after, 2) : [])],
      ]);
    }
    if (!catches || this.chance.is(0.4)) {
      const last = this.chance.is(0.15) ? ['return [...out, "finally"];'] : [];
      clauses.push(["finally", [...this.statements(after, 2), ...last]]);
    }
    return [clauses];
  }

  endOfTry(state: State): Statement[] {
    switch (this.chance.within(0, 3)) {
      case 0:
        return ['return [...out, "early"];'];
      case 1:
        this.fails(state);
        return [`throw new ${this.chance.one(["NonRetryable", "TypeError"])}("boom-${this.chance.within(1, 99)}");`];
      default:
        return this.failing(state);
    }
  }

  loop(state: State): Statement[] {
    const index = this.site("i");
    const body = this.statements({ ...state, depth: state.depth + 1, loops: [...state.loops, index] }, 3);
    return [[[`for (let ${index} = 0; ${index} < ${this.chance.within(2, 3)}; ${index}++)`, body]]];
  }

  condition(state: State): Statement[] {
    const inner = { ...state, depth: state.depth + 1 };
    const clauses: [string, Body][] = [[`if ((${this.number(state)}) % 2)`, this.statements(inner, 3)]];
    if (this.chance.is(0.5)) {
      clauses.push(["else", this.statements(inner, 3)]);
    }
    return [clauses];
  }

  /** A generator that calls steps, and a `finally` in it that calls one too. */
  generated(state: State): Statement[] {
    const [name, index] = [this.site("each"), this.site("i")];
    const inner = { ...state, loops: [...state.loops, index] };
    const end = `await ctx.step(note, ${this.given(state, "0", true)}${this.options(state, state.isShared)});`;
    const last = `await ctx.step(note, ${this.given(state, "9", true)}${this.options(state, state.isShared)});`;
    const loop: Statement = [
      [`for (let ${index} = 0; ${index} < 3; ${index}++)`, [`yield await ${this.sure(inner, state.isShared, true)};`]],
    ];
    const stop = this.chance.is(0.5) ? ["break;"] : [];
    return [
      [
        [
          `async function* ${name}()`,
          [
            [
              ["try", [loop, last]],
              ["finally", [end]],
            ],
          ],
        ],
      ],
      [[`for await (const v of ${name}())`, ["out.push(v);", ...stop]]],
    ];
  }

  saga(state: State): Statement[] {
    const name = this.site("saga");
    const own = state.isShared || this.chance.is(0.3) ? `, { name: ${this.named("s", state)} }` : "";
    const inner = { ...state, depth: state.depth + 1, sagas: [...state.sagas, name], isCaught: true };
    const body = [
      ...this.sagaStep(inner),
      ...this.statements(inner, 3),
      ...(this.chance.is(0.6) ? this.endOfTry(inner) : []),
    ];
    const work = this.site("work");
    return [
      [[`const ${work} = async (${name}) =>`, body]],
      [
        ["try", [`await ctx.saga(${work}${own});`]],
        ["catch (error)", ["out.push(reason(error));"]],
      ],
    ];
  }

  sagaStep(state: State): Statement[] {
    const name = state.sagas.at(-1) as string;
    const undo = this.chance.is(0.3)
      ? `(c) => c.step(unbook, ${this.given(state, this.number(state), false)})`
      : "unbook";
    const options = this.options(state, state.isShared, [`undo: ${undo}`]);
    return [`await ${name}.step(book, ${this.given(state, this.number(state), true)}${options});`];
  }
}

function replaced(calls: readonly string[], at: number, other: string): string[] {
  return calls.map((call, number) => (number === at ? other : call));
}
