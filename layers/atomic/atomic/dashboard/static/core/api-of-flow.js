// What is read of flow control and of endpoints, and done to keys of flow control.

const flowPath = (key) => `/flow/${encodeURIComponent(key)}`;

/** Requests about them, beside those of the client (`createApi`). */
export function flowOf({ request, read, base }) {
  return {
    /** A page of the keys of flow control, by name. */
    flowKeys: async (query, signal) => {
      const { keys, next } = await read("/flow", query, signal);
      return { keys, next: next && new URLSearchParams(next.split("?")[1]).get("after") };
    },
    flowKey: (key, signal) => read(flowPath(key), {}, signal),
    /** The first steps that have a slot of a key, and the first in its line. */
    flowSteps: (key, query, signal) => read(`${flowPath(key)}/steps`, query, signal),
    /** How endpoints have answered lately; null on a server that cannot tell. */
    endpoints: async (signal) => {
      try {
        return await read("/endpoints", {}, signal);
      } catch (error) {
        if (error.status === 404) return null;
        throw error;
      }
    },
    /** Pin limits of a key of flow control, pause it or resume it. */
    changeFlowKey: (key, changes) => request("PUT", `${base}${flowPath(key)}`, { body: changes }),
  };
}
