// Polls the server: only while the page is visible, and less often when the server is slow or fails.

const BACK_OFF_MAX_MS = 30_000;
// One open page takes at most a tenth of the server's time.
const SHARE = 10;

/**
 * Call `task(signal)` every `everyMs()` until stopped; `failed(error)` gets the errors that it throws.
 * While `everyMs()` is null, it is called by `now` alone.
 */
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
    const every = everyMs();
    if (every === null) return;
    const took = performance.now() - began;
    const delay = Math.max(every, took * SHARE) * 2 ** Math.min(errors, 5);
    timer = setTimeout(round, Math.min(delay, Math.max(BACK_OFF_MAX_MS, every)));
  }

  function look() {
    if (document.hidden) {
      clearTimeout(timer);
      controller?.abort();
    } else if (!stopped) {
      round();
    }
  }

  function back() {
    if (document.hidden || everyMs() !== null) look();
  }

  document.addEventListener("visibilitychange", back);
  window.addEventListener("online", back);
  look();
  return {
    now: look,
    stop() {
      stopped = true;
      clearTimeout(timer);
      controller?.abort();
      document.removeEventListener("visibilitychange", back);
      window.removeEventListener("online", back);
    },
  };
}
