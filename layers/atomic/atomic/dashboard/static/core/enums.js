// The words of the wire, made from protocol/enums.py by `make openapi`. A server may be newer than a page
// that is open: whoever looks a word up has something to say of one that is not listed here.

export const STATUSES = ["pending", "running", "retrying", "waiting", "succeeded", "failed", "cancelled"];

export const LIVE = ["pending", "running", "retrying", "waiting"];

export const SETTLED = ["succeeded", "failed", "cancelled"];

export const KINDS = ["http", "timer", "event"];

export const OUTCOMES = ["succeeded", "retryable", "permanent", "suspended", "deferred", "no_answer"];
