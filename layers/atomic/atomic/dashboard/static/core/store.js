// The store: all that the page shows depends on this state, except text that is being typed.

/** `get()`, `set(changes)`, `flush()`, `subscribe(listener)`; listeners are called once a frame. */
export function createStore(initial) {
  let state = initial;
  let asked = false;
  const listeners = new Set();

  function tell() {
    if (!asked) return;
    asked = false;
    for (const listener of listeners) listener(state);
  }

  return {
    get: () => state,
    set(changes) {
      state = { ...state, ...changes };
      if (asked) return;
      asked = true;
      // A hidden page gets no frames; it is drawn when it becomes visible again.
      requestAnimationFrame(tell);
    },
    /** Call the listeners now instead of with the next frame. */
    flush: tell,
    subscribe: (listener) => listeners.add(listener),
  };
}
