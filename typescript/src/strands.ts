/** Which branch makes a call, where the runtime can tell: Node, Bun, Deno and Workers with Node's compatibility. */

import { builtin } from "./builtin.ts";
import type { Scope } from "./scope.ts";

interface Storage {
  run<Result>(scope: Scope, work: () => Result): Result;
  getStore(): Scope | undefined;
}

const hooks = builtin<{ AsyncLocalStorage: new () => Storage }>("node:async_hooks");
const storage = hooks && new hooks.AsyncLocalStorage();

/** Do work whose calls belong to a branch, whichever context they are made on. */
export function within<Result>(scope: Scope, work: () => Result): Result {
  return storage === undefined ? work() : storage.run(scope, work);
}

/** The branch that makes a call on the context of `own`. */
export function currentScope(own: Scope): Scope {
  const running = storage?.getStore();
  return running?.isWithin(own) ? running : own;
}
