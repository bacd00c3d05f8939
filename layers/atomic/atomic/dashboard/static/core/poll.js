// Polls the server: only while the page is visible, and less often when the server is slow or fails.

const BACK_OFF_MAX_MS = 30_000;
// One open page takes at most a tenth of the server's time.
const SHARE = 10;

/** Call `task(signal)` every `everyMs()` until stopped; `failed(error)` gets the errors that it throws. */
export function poll(task, everyMs, failed) {
  let timer;
  let controller;
  let errors = 0;
  let stopped = false;

  async function round() {
    clearTimeout(timer);
    controller?.abort();
    const mine = (controller = new AbortController());
    const began = performance.now();
    try {
      await task(mine.signal);
      errors = 0;
    } catch (error) {
      if (mine.signal.aborted) return;
      errors += 1;
      failed(error);
    }
    if (mine.signal.aborted) return;
    const took = performance.now() - began;
    const delay = Math.max(everyMs(), took * SHARE) * 2 ** Math.min(errors, 5);
    timer = setTimeout(round, Math.min(delay, Math.max(BACK_OFF_MAX_MS, everyMs())));
  }

  function look() {
    if (document.hidden) {
      clearTimeout(timer);
      controller?.abort();
    } else if (!stopped) {
      round();
    }
  }

  document.addEventListener("visibilitychange", look);
  window.addEventListener("online", look);
  look();
  return {
    now: look,
    stop() {
      stopped = true;
      clearTimeout(timer);
      controller?.abort();
      document.removeEventListener("visibilitychange", look);
      window.removeEventListener("online", look);
    },
  };
}
