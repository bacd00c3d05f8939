/** What Node, Bun, Deno and Workers with Node's compatibility have beside the web's own. */

/** A module of Node's, where the runtime has it. It is asked for by its name: an import would bind the package to Node. */
export function builtin<Module>(name: string): Module | undefined {
  const { process } = globalThis as { process?: { getBuiltinModule?: (name: string) => Module | undefined } };
  return process?.getBuiltinModule?.(name);
}
