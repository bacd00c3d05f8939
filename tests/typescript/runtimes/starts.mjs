// Starts runs of an application, several at a time, and prints the results. Usage: starts.mjs URL RUNS
import { Atomic } from "atomic-workflows";

/** The results of so many runs of the workflow at a URL, by result. */
export async function started(url, runs, connection) {
  const atomic = new Atomic(connection);
  const found = {};
  let next = 0;
  const caller = async () => {
    while (next < runs) {
      const name = `${next++ % 10}`;
      const key = `${new URL(url).port}-${next}`;
      const { response, status } = await atomic.start({ workflowName: "signUp", url }, { name }, { key });
      const told = `${status} ${response.mailed} ${response.counted}`;
      found[told] = (found[told] ?? 0) + 1;
    }
  };
  await Promise.all(Array.from({ length: 32 }, caller));
  return found;
}
