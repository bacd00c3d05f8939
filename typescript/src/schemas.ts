/** Standard Schema: what validates payloads and results, from zod, valibot, arktype and others. It is loaded where there is one. */

/** A schema of any library that has the standard (standardschema.dev). */
export interface Schema<Input = unknown, Output = Input> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => Validated<Output> | Promise<Validated<Output>>;
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

/** The schemas of a function: of the payload that it is sent, and of its result. */
export interface Schemas<Input = unknown, Parsed = unknown, Result = unknown, Output = unknown> {
  readonly input?: Schema<Input, Parsed>;
  readonly output?: Schema<Result, Output>;
}

type Validated<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly Issue[] };

interface Made {
  readonly value?: unknown;
  readonly misfit?: string;
}

interface Issue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

// As many as fit into the error of a step.
const TOLD_MAX = 5;

/** What a schema makes of a value, or why it does not fit. */
export async function validated(schema: Schema, value: unknown, what: "payload" | "result"): Promise<Made> {
  const { issues, ...made } = await schema["~standard"].validate(value);
  return issues === undefined ? (made as Made) : { misfit: `The ${what} does not fit: ${misfitOf(issues)}` };
}

/** The paths that do not fit and the reasons. */
function misfitOf(issues: readonly Issue[]): string {
  const told = issues.slice(0, TOLD_MAX).map(({ path = [], message }) => {
    const keys = path.map((part) => String(typeof part === "object" ? part.key : part));
    return keys.length === 0 ? message : `${keys.join(".")}: ${message}`;
  });
  return told.join("; ");
}
