/** The syntax tree of a program, and its source as JavaScript. */

/** A statement on one line, or clauses, each a header such as `try` and a body. */
export type Statement = string | readonly (readonly [header: string, body: Body])[];
export type Body = readonly Statement[];

/** Workflows that call each other. `main` is started with `payload`. */
export interface Program {
  readonly functions: Readonly<Record<string, Body>>;
  readonly payload: number;
}

export const ENTRY = "main";
const INDENT = "  ";

/** The body of a workflow, as a text. */
export function sourceOf(body: Body, depth = 1): string {
  return body
    .map((statement) => {
      const indent = INDENT.repeat(depth);
      if (typeof statement === "string") {
        return `${indent}${statement}\n`;
      }
      const clauses = statement.map(([header, inner]) => `${header} {\n${sourceOf(inner, depth + 1)}${indent}}`);
      return `${indent}${clauses.join(" ")}\n`;
    })
    .join("");
}

/** The whole program, for people. */
export function shown({ functions, payload }: Program): string {
  const written = Object.entries(functions).map(
    ([name, body]) => `async function ${name}(ctx, n) {\n${sourceOf(body)}}\n`,
  );
  return `${written.join("\n")}\n${ENTRY}(ctx, ${payload})`;
}

/** The programs with one part of this one left out, largest parts first. */
export function* smaller(program: Program): Generator<Program> {
  const { functions } = program;
  for (const name of Object.keys(functions)) {
    const { [name]: own, ...others } = functions;
    if (name !== ENTRY && !shown({ functions: others, payload: 0 }).includes(name)) {
      yield { ...program, functions: others };
    }
    for (const body of without(own as Body)) {
      yield { ...program, functions: { ...functions, [name]: body } };
    }
  }
  for (let payload = 0; payload < program.payload; payload++) {
    yield { ...program, payload };
  }
}

function* without(body: Body): Generator<Body> {
  for (const [at, statement] of body.entries()) {
    const [before, after] = [body.slice(0, at), body.slice(at + 1)];
    yield [...before, ...after];
    if (typeof statement !== "string") {
      for (const [number, [header, inner]] of statement.entries()) {
        yield [...before, ...inner, ...after];
        for (const less of without(inner)) {
          const clauses = statement.map((clause, each) => (each === number ? ([header, less] as const) : clause));
          yield [...before, clauses, ...after];
        }
      }
    }
  }
}
