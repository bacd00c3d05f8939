// Everything about one step.

import { endpointCommand, headersSent, startCommand } from "../core/curl.js";
import { h } from "../core/dom.js";
import {
  dollars,
  duration,
  fullTime,
  ms,
  plural,
  retryInWords,
  ticking,
  timeOfDay,
} from "../core/format.js";
import { linkTo } from "../core/router.js";
import { isLive, outcomeOf } from "../core/timeline.js";
import { askRedrive } from "./asks.js";
import { badge, icon } from "./icons.js";
import { json } from "./json.js";
import { button, copyButton, fact } from "./pieces.js";
import { nameOf, tookOf } from "./waterfall.js";

export function panel({ step, run, state, actions }) {
  return h(
    "aside",
    { class: "panel", key: `panel ${step.id}`, "aria-label": `Step ${nameOf(step)}`, created: reveal },
    h(
      "header",
      { class: "panel-head" },
      h("h2", null, nameOf(step)),
      badge(step.status),
      h(
        "button",
        {
          type: "button",
          class: "plain close",
          "aria-label": "Close the step",
          on: { click: () => actions.query({ step: "" }) },
        },
        icon("close"),
      ),
    ),
    step.error && step.status !== "succeeded" && h("p", { class: "error-text" }, step.error),
    acts(step, run, state, actions),
    facts(step, run, state),
    attempts(step, state.now),
    section(
      "Retry policy",
      h(
        "p",
        null,
        step.kind === "http"
          ? retryInWords(step.retry, step.retriesUsed)
          : "Nothing is called, so nothing is retried.",
      ),
    ),
    section(
      "Payload",
      json("Payload", step.payload, state.route.client),
      copyButton("Copy payload", () => JSON.stringify(step.payload, null, 2), actions),
    ),
    section("Response", response(step, state, actions)),
    step.kind === "http" && headers(step),
  );
}

const OUTCOMES = {
  succeeded: "succeeded",
  retryable: "failed",
  permanent: "failed, gave up",
  suspended: "handed back, to wait",
  no_answer: "lost, not counted",
  running: "running",
};

function section(title, ...children) {
  return h("section", null, h("h3", null, title), children);
}

function acts(step, run, { route, needsKey }, actions) {
  const origin = location.origin;
  // Once its run has succeeded or was cancelled, nobody waits for the step any more.
  const isWanted = run.root.status === "failed" || isLive(run.root);
  return h(
    "div",
    { class: "panel-actions" },
    step.status === "failed" &&
      isWanted &&
      button("Redrive", { primary: true, small: true }, () => askRedrive(step, actions)),
    copyButton("Copy as curl", () => startCommand(step, route.client, { origin, needsKey }), actions),
    step.kind === "http" &&
      copyButton("Copy endpoint call", () => endpointCommand(step, Math.max(1, step.attempts)), actions),
  );
}

function facts(step, run, { route, now }) {
  const isRoot = step.parent === null;
  const due = step.status === "retrying" && ms(step.dueAt);
  return h(
    "dl",
    { class: "facts narrow" },
    fact(
      "Calls",
      h(
        "code",
        null,
        step.stepInvokeUrl ?? `nothing: this is ${step.kind === "event" ? "an event" : "a timer"}`,
      ),
    ),
    fact("Started", fullTime(ms(step.createdAt))),
    fact("Took", tookOf(step, now)),
    due &&
      fact("Next retry", due > now ? `in ${ticking(due - now + 999)}, at ${timeOfDay(due)}` : "is due"),
    step.deadlineAt && fact("Deadline", fullTime(ms(step.deadlineAt))),
    fact("Attempt time-out", duration(step.attemptTimeout)),
    step.generation > 1 && fact("Redriven", plural(step.generation - 1, "time")),
    step.waitingFor.length > 0 &&
      fact(
        "Waiting for",
        step.waitingFor.map((id) => stepLink(id, run, route)),
      ),
    fact("Trace", h("code", null, step.traceId)),
    fact("Step", h("code", null, step.id)),
    isRoot && run.costUsd !== null && fact("Run has cost", dollars(run.costUsd)),
  );
}

function stepLink(id, run, { client }) {
  const step = [run.root, ...run.steps].find((each) => each.id === id);
  const runId = id.slice(0, id.indexOf("-"));
  const query = id.endsWith("-root") && !step ? {} : { step: id };
  return h(
    "a",
    { class: "chip", href: linkTo({ client, page: "run", id: runId, query }) },
    step ? nameOf(step) : `run ${runId}`,
  );
}

function attempts(step, now) {
  const kept = step.attemptLog.length;
  if (!kept) return section("Attempts", h("p", { class: "soft" }, "None yet."));
  return section(
    "Attempts",
    step.attempts > kept && h("p", { class: "soft" }, `The newest ${kept} of ${step.attempts} are kept.`),
    h(
      "ol",
      { class: "attempts" },
      [...step.attemptLog].reverse().map((attempt) => attemptRow(step, attempt, now)),
    ),
  );
}

function attemptRow(step, attempt, now) {
  const running = attempt.endedAt === null && isLive(step);
  const kind = outcomeOf(step, attempt);
  return h(
    "li",
    { key: attempt.number },
    h("span", { class: `dot is-${kind}`, "aria-hidden": "true" }),
    h("span", { class: "attempt-number" }, `#${attempt.number}`),
    h("span", { class: "attempt-outcome" }, [OUTCOMES[kind], attempt.status].filter(Boolean).join(" · ")),
    h(
      "span",
      { class: "attempt-took" },
      running ? ticking(now - ms(attempt.startedAt)) : duration(attempt.duration),
    ),
    h(
      "time",
      { class: "soft", datetime: attempt.startedAt, title: fullTime(ms(attempt.startedAt)) },
      timeOfDay(ms(attempt.startedAt)),
    ),
    attempt.error && h("span", { class: "attempt-error" }, attempt.error),
    attempt.late &&
      h("span", { class: "attempt-error soft" }, `Answered late, which changed nothing: ${attempt.late}`),
  );
}

function response(step, { route }, actions) {
  if (step.response === null && step.responseStatus === null) return h("p", { class: "soft" }, "None yet.");
  const kind = step.responseEncoding
    ? `${step.responseContentType ?? ""}, as base64`
    : step.responseContentType;
  const text = () =>
    typeof step.response === "string" ? step.response : JSON.stringify(step.response, null, 2);
  return [
    h(
      "p",
      { class: "soft" },
      [step.responseStatus && `Status ${step.responseStatus}`, kind].filter(Boolean).join(" · "),
    ),
    json("Response", step.response, route.client),
    copyButton("Copy response", text, actions),
  ];
}

function headers(step) {
  const rows = headersSent(step, Math.max(1, step.attempts));
  return h(
    "details",
    null,
    h("summary", null, "Headers sent"),
    h(
      "dl",
      { class: "facts narrow" },
      rows.map(([name, value, known]) => fact(name, h("code", { class: known ? "" : "soft" }, value))),
    ),
  );
}

/** On a narrow page the panel stands below the steps. */
function reveal(node) {
  if (node.getBoundingClientRect().top > innerHeight * 0.6) node.scrollIntoView({ block: "start" });
}
