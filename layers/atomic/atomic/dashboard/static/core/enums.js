// The enumerations of the wire and the actions of operators, generated from protocol/enums.py and
// protocol/actions.py by `make openapi`. A server may be newer than an open page, so code that looks up a
// value must also handle one that is not listed here.

export const STATUSES = [
  "pending",
  "running",
  "retrying",
  "waiting",
  "succeeded",
  "failed",
  "cancelled"
];

export const LIVE = ["pending", "running", "retrying", "waiting"];

export const SETTLED = ["succeeded", "failed", "cancelled"];

export const TONES = {
  "pending": "calm",
  "running": "busy",
  "retrying": "warn",
  "waiting": "calm",
  "succeeded": "good",
  "failed": "bad",
  "cancelled": "calm"
};

export const KINDS = ["http", "timer", "event", "value", "run"];

export const OUTCOMES = ["succeeded", "retryable", "permanent", "suspended", "deferred", "no_answer"];

export const ACTIONS = [
  {
    "name": "redrive",
    "of": "step",
    "summary": "Give a dead letter a fresh budget of attempts",
    "effect": [
      "It gets a fresh budget of attempts; its endpoint gets the same key and payload again.",
      "Its failed ancestors are redriven with it, so that the run goes on.",
      "With a root, every failed step of its run is redriven."
    ],
    "done": "redriven",
    "states": [
      "failed"
    ],
    "roots": true,
    "needsRun": true,
    "kinds": [
      "http",
      "timer",
      "event",
      "value",
      "run"
    ],
    "label": ""
  },
  {
    "name": "due",
    "of": "step",
    "summary": "Make a step due now, or at another time: retry now, skip a sleep, reschedule",
    "effect": [
      "When it is due, its next attempt is made; a timer is done.",
      "No attempt or retry is used up, and its limits stay: its deadline, and those of its client."
    ],
    "done": "due",
    "states": [
      "pending",
      "retrying"
    ],
    "roots": true,
    "needsRun": false,
    "kinds": [
      "http",
      "timer"
    ],
    "label": "Make due now"
  },
  {
    "name": "cancel",
    "of": "run",
    "summary": "Cancel a run and its live steps",
    "effect": [
      "Every live step ends as cancelled; what has ended stays as it is."
    ],
    "done": "cancelled",
    "states": null,
    "roots": false,
    "needsRun": false,
    "kinds": [
      "http",
      "timer",
      "event",
      "value",
      "run"
    ],
    "label": ""
  },
  {
    "name": "cancel",
    "of": "step",
    "summary": "Cancel one step and the live steps below it",
    "effect": [
      "It ends as cancelled, with the live steps below it.",
      "Its run goes on: the workflow is told, and may go on without it."
    ],
    "done": "cancelled",
    "states": null,
    "roots": false,
    "needsRun": false,
    "kinds": [
      "http",
      "timer",
      "event",
      "value",
      "run"
    ],
    "label": ""
  }
];
