// The one store: whatever the page shows follows from this state and nothing else.

/** `get()`, `set(changes)`, `subscribe(listener)`; listeners are called once a frame at most. */
export function createStore(initial) {
  let state = initial;
  let asked = false;
  const listeners = new Set();

  function tell() {
    asked = false;
    for (const listener of listeners) listener(state);
  }

  return {
    get: () => state,
    set(changes) {
      state = { ...state, ...changes };
      if (asked) return;
      asked = true;
      // A hidden page gets no frames; it is drawn when somebody looks again.
      requestAnimationFrame(tell);
    },
    subscribe: (listener) => listeners.add(listener),
  };
}
