// The enumerations of the wire, the actions of operators and reserved names, generated from protocol/ by
// `make openapi`. A server may be newer than an open page, so code that looks up a
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

export const WAITS_FOR = ["event", "resume", "retry", "run", "slot", "timer"];

export const ERROR_KINDS = [
  "endpoint_answered",
  "forbade_retry",
  "redirect_refused",
  "response_too_large",
  "response_not_storable",
  "function_failed",
  "waited_for_nothing",
  "unknown_wake",
  "invalid_answer_within",
  "invalid_continue_as",
  "timed_out",
  "connection_timed_out",
  "network",
  "lambda_refused",
  "address_not_allowed",
  "no_answer",
  "answer_overdue",
  "lost",
  "client_may_not_call",
  "cancelled_before_call",
  "circuit_open",
  "too_many_connections",
  "resources_exhausted",
  "store_unavailable",
  "lost_too_often",
  "deadline_over",
  "no_time_left",
  "start_expired",
  "event_expired",
  "heartbeat_missed",
  "event_rejected",
  "cancelled",
  "step_cancelled",
  "superseded",
  "run_ended",
  "run_gone",
  "child_failed",
  "child_cancelled",
  "child_differs",
  "child_gone",
  "run_cycle",
  "child_busy",
  "start_refused"
];

export const KINDS = ["http", "timer", "event", "value", "run"];

export const OUTCOMES = ["succeeded", "retryable", "permanent", "suspended", "deferred", "no_answer"];

export const RESERVED_NAMES = ["bulk/", "hook/"];

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
    "label": "",
    "paused": null,
    "rootEffect": [
      "Every failed step of it gets a fresh budget of attempts.",
      "Endpoints get the same keys and payloads again.",
      "What has succeeded stays as it is."
    ]
  },
  {
    "name": "restart",
    "of": "run",
    "summary": "Start a run again, as another run with the same payload",
    "effect": [
      "The new run begins anew: what has succeeded is called again as well, under other keys.",
      "This run stays as it is. To let it go on where it failed, redrive it."
    ],
    "done": "restarted",
    "states": [
      "succeeded",
      "failed",
      "cancelled"
    ],
    "roots": false,
    "needsRun": false,
    "kinds": [
      "http",
      "timer",
      "event",
      "value",
      "run"
    ],
    "label": "",
    "paused": null,
    "rootEffect": []
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
    "label": "Run now",
    "paused": null,
    "rootEffect": []
  },
  {
    "name": "pause",
    "of": "run",
    "summary": "Pause a run: nothing of it is called until it is resumed",
    "effect": [
      "Attempts that are under way end and are recorded; what comes due meanwhile rests.",
      "Timers and events still end, and deadlines go on.",
      "The runs that it waits for are paused with it."
    ],
    "done": "paused",
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
    "label": "",
    "paused": false,
    "rootEffect": []
  },
  {
    "name": "resume",
    "of": "run",
    "summary": "Let a paused run go on",
    "effect": [
      "What rests goes on, and the runs that were paused with it.",
      "A step that has used up its retries gets a fresh budget of attempts."
    ],
    "done": "resumed",
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
    "label": "",
    "paused": true,
    "rootEffect": []
  },
  {
    "name": "dismiss",
    "of": "run",
    "summary": "Dismiss a failed run: it needs no action any more",
    "effect": [
      "It stays as it is, and is not counted among the runs that need action.",
      "A redrive of the run clears it."
    ],
    "done": "dismissed",
    "states": [
      "failed"
    ],
    "roots": false,
    "needsRun": false,
    "kinds": [
      "http",
      "timer",
      "event",
      "value",
      "run"
    ],
    "label": "",
    "paused": null,
    "rootEffect": []
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
    "label": "",
    "paused": null,
    "rootEffect": []
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
    "label": "",
    "paused": null,
    "rootEffect": []
  }
];
