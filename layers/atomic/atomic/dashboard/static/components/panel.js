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
  shortTime,
  ticking,
  timeOfDay,
} from "../core/format.js";
import { linkTo } from "../core/router.js";
import { isLive, nextOf, outcomeOf } from "../core/timeline.js";
import { askRedrive } from "./asks.js";
import { badge, icon } from "./icons.js";
import { json } from "./json.js";
import { button, copyButton, fact } from "./pieces.js";
import { nameOf, tookOf } from "./waterfall.js";

export function panel({ step, run, state, actions }) {
  const isCalled = step.kind === "http";
  // Of a step that failed, what its endpoint said is what one looks for.
  const isFailed = step.status === "failed";
  const answer = section(isCalled ? "Response" : "Result", response(step, state, actions));
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
    isCalled && attempts(step, state.now),
    isFailed && answer,
    isCalled && section("Retry policy", h("p", null, retryInWords(step.retry, step.retriesUsed))),
    section(
      "Payload",
      json("Payload", step.payload, state.route.client),
      copyButton("Copy payload", () => step.payload.indented, actions),
    ),
    !isFailed && answer,
    isCalled && headers(step),
  );
}

const OUTCOMES = {
  succeeded: "succeeded",
  retryable: "failed",
  permanent: "failed, no retry",
  suspended: "handed back, to wait",
  deferred: "its posts refused, not counted",
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
  const next = nextOf(step);
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
    next && fact(next.name, whenInWords(next.at, now)),
    step.deadlineAt && fact("Deadline", fullTime(ms(step.deadlineAt))),
    step.kind === "http" && fact("Attempt time-out", duration(step.attemptTimeout)),
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

function whenInWords(at, now) {
  return at > now ? `in ${ticking(at - now + 999)}, at ${shortTime(at, at - now)}` : "is due";
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
  if (!kept) return section("Attempts", none(step));
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

const none = (step) => h("p", { class: "soft" }, isLive(step) ? "None yet." : "None.");

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
  const isKnown = step.status === "succeeded" || step.responseStatus !== null;
  if (step.response.isNull && (!isKnown || step.kind === "timer")) return none(step);
  const kind = step.responseEncoding
    ? `${step.responseContentType ?? ""}, as base64`
    : step.responseContentType;
  return [
    h(
      "p",
      { class: "soft" },
      [step.responseStatus && `Status ${step.responseStatus}`, kind].filter(Boolean).join(" · "),
    ),
    json("Response", step.response, route.client),
    copyButton("Copy response", () => step.response.shown, actions),
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
