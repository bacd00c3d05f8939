// The enumerations of the wire, generated from protocol/enums.py by `make openapi`. A server may be newer
// than an open page, so code that looks up a value must also handle one that is not listed here.

export const STATUSES = ["pending", "running", "retrying", "waiting", "succeeded", "failed", "cancelled"];

export const LIVE = ["pending", "running", "retrying", "waiting"];

export const SETTLED = ["succeeded", "failed", "cancelled"];

export const KINDS = ["http", "timer", "event", "value"];

export const OUTCOMES = ["succeeded", "retryable", "permanent", "suspended", "deferred", "no_answer"];
