import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import {
  Atomic,
  type AtomicError,
  NoAnswerError,
  NotFinishedError,
  RefusedError,
  StepFailedError,
  type WorkflowReference,
} from "../src/index.ts";

interface Call {
  payload: unknown;
  attempt: number;
}

type Answer = (call: Call, response: ServerResponse) => void;

const answers = new Map<string, Answer>();
const atomic = new Atomic({ url: inject("atomicUrl"), clientId: "ts" });
let server: Server;

beforeAll(async () => {
  server = createServer((request, response) => void answered(request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});

afterAll(async () => {
  const closed = new Promise((resolve) => server.close(resolve));
  server.closeAllConnections();
  await closed;
});

async function answered(request: IncomingMessage, response: ServerResponse): Promise<void> {
  let body = "";
  for await (const chunk of request) {
    body += String(chunk);
  }
  answers.get(request.url ?? "")?.(JSON.parse(body) as Call, response);
}

/** A workflow whose endpoint answers like this. */
function workflow<Output = unknown>(answer: Answer): WorkflowReference<unknown, Output> {
  const path = `/${randomUUID()}`;
  answers.set(path, answer);
  return { workflowName: "ts", url: `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}` };
}

const echo: Answer = ({ payload }, response) => response.end(JSON.stringify({ echo: payload }));

function failing(status: number, headers: Record<string, string> = {}): Answer {
  return (_, response) => response.writeHead(status, headers).end('{"detail": "no card"}');
}

async function errorOf(promise: Promise<unknown>): Promise<AtomicError> {
  return promise.then(
    () => expect.unreachable("it was fulfilled"),
    (error: AtomicError) => error,
  );
}

it.each(["20.5s", "24s", 24_999])("starts with a timeout of %s", async (timeout) => {
  // The limit of a request takes whole milliseconds only, and a wait above 20 s decides it.
  const fetch = async (): Promise<Response> => Response.json({ id: "step_1", status: "succeeded", response: 1 });
  const client = new Atomic({ url: "http://127.0.0.1:1", clientId: "ts", fetch });
  const started = await client.start({ workflowName: "w", url: "http://x/w" }, null, {
    key: "1",
    timeout: timeout as "24s",
  });
  expect(started.response).toBe(1);
});

describe("start", () => {
  it("returns the outcome, and attaches to the run of its key", async () => {
    const reference = workflow<{ echo: unknown }>(echo);
    const key = randomUUID();
    const outcome = await atomic.start(reference, { name: "ada", at: new Date(0) }, { key });
    expect(outcome.status).toBe("succeeded");
    expect(outcome.response).toEqual({ echo: { name: "ada", at: "1970-01-01T00:00:00.000Z" } });
    const again = await atomic.start(reference, { at: new Date(0), name: "ada" }, { key });
    expect(again.id).toBe(outcome.id);
    expect(again.attempts).toBe(1);
  });

  it("retries by the policy, and says what the run did", async () => {
    const reference = workflow(({ attempt }, response) => response.writeHead(attempt < 3 ? 404 : 200).end("7"));
    const retry = { count: 5, backOff: "10ms", jitter: "none" } as const;
    const outcome = await atomic.start(reference, null, { key: randomUUID(), retry });
    expect([outcome.response, outcome.attempts]).toEqual([7, 3]);
    const run = await atomic.get(outcome.runId);
    expect(run.root.attemptLog.map(({ status }) => status)).toEqual([404, 404, 200]);
    expect((await atomic.step(outcome.id)).retriesUsed).toBe(2);
  });

  it("rejects with what the endpoint said", async () => {
    const reference = workflow(failing(410, { "Atomic-Error-Type": "CardDeclined" }));
    const error = await errorOf(atomic.start(reference, null, { key: randomUUID() }));
    expect(error).toBeInstanceOf(StepFailedError);
    expect(error.code).toBe("step-failed");
    const { failure } = error as StepFailedError;
    expect(failure).toMatchObject({
      attempts: 1,
      lastStatus: 410,
      lastErrorType: "CardDeclined",
      response: { detail: "no card" },
    });
    expect(await errorOf(atomic.wait(failure.id))).toMatchObject({ code: "step-failed" });
  });

  it("rejects when its time is over, and can be made again", async () => {
    const waiting: ServerResponse[] = [];
    const reference = workflow<string>((_, response) => void waiting.push(response));
    const key = randomUUID();
    const error = await errorOf(atomic.start(reference, 1, { key, timeout: 300 }));
    expect(error).toBeInstanceOf(NotFinishedError);
    const started = await atomic.start(reference, 1, { key, timeout: 0 });
    expect(started).toMatchObject({ id: (error as NotFinishedError).stepId, status: "running" });
    const again = atomic.start(reference, 1, { key });
    waiting[0]?.end('"late"');
    expect((await again).response).toBe("late");
    expect(waiting.length).toBe(1);
  });

  it("waits until its signal is aborted", async () => {
    const reference = workflow(() => undefined);
    const controller = new AbortController();
    const started = atomic.start(reference, 1, { key: randomUUID(), signal: controller.signal });
    setTimeout(() => controller.abort(new Error("enough")), 100);
    await expect(started).rejects.toThrow("enough");
  });

  it("refuses another payload under one key, and wrong options", async () => {
    const reference = workflow(echo);
    const key = randomUUID();
    await atomic.start(reference, 1, { key });
    expect(await errorOf(atomic.start(reference, 2, { key }))).toMatchObject({
      code: "payload-mismatch",
      status: 422,
      help: "troubleshooting.md#payload-mismatch",
    });
    expect(await errorOf(atomic.start(reference, 1, { key: "" }))).toMatchObject({ code: "invalid-request" });
    const wrong = { key: randomUUID(), delay: "soon" } as never;
    expect(await errorOf(atomic.start(reference, 1, wrong))).toMatchObject({
      code: "invalid-request",
      message: /^delay: "soon"/,
    });
    expect(await errorOf(atomic.start(reference, () => 1, { key: randomUUID() }))).toMatchObject({
      code: "not-serializable",
    });
  });
});

describe("runs", () => {
  it("lists by filters, more than a page", async () => {
    const reference = workflow(echo);
    const prefix = randomUUID();
    for (let index = 0; index < 101; index++) {
      await atomic.start(reference, index, { key: `${prefix}-${index}`, timeout: 0 });
    }
    const runs = await atomic.runs({ keyPrefix: prefix, workflowName: "ts", limit: 101 });
    expect(new Set(runs.map(({ idempotencyKey }) => idempotencyKey)).size).toBe(101);
    expect((await atomic.runs({ keyPrefix: prefix, limit: 2 })).length).toBe(2);
    expect(await atomic.runs({ keyPrefix: prefix, status: "failed" })).toEqual([]);
    const tags = { customer: prefix, env: "test: é" };
    const tagged = await atomic.start(reference, 1, { key: `${prefix}tagged`, tags });
    expect(tagged.tags).toEqual(tags);
    expect((await atomic.runs({ tag: `customer:${prefix}` })).map((run) => run.id)).toEqual([tagged.id]);
    expect((await atomic.runs({ keyContains: `${prefix}tag`, responseStatus: 200 })).length).toBe(1);
    expect(await atomic.runs({ keyContains: `${prefix}tag`, waitsFor: "event" })).toEqual([]);
  });
});

describe("acts", () => {
  it("starts a run at a time, and makes it due at another or now", async () => {
    const reference = workflow(echo);
    const later = new Date(Date.now() + 3_600_000);
    const started = await atomic.start(reference, 1, { key: randomUUID(), timeout: 0, startAt: later });
    expect(started).toMatchObject({ status: "pending", dueAt: later.toISOString() });
    expect(await atomic.step(started.id)).toMatchObject({ startAt: later.toISOString(), startBy: null });
    const tomorrow = new Date(Date.now() + 86_400_000);
    expect(await atomic.due(started.id, { at: tomorrow })).toMatchObject({ dueAt: tomorrow.toISOString() });
    await atomic.due(started.id);
    expect((await atomic.wait(started.id)).response).toEqual({ echo: 1 });
    const error = (await errorOf(atomic.due(started.id))) as RefusedError;
    expect(error).toMatchObject({ code: "not-reschedulable", problem: { stepStatus: "succeeded" } });
    for (const wrong of [{ startAt: new Date(Number.NaN) }, { startBy: new Date(Number.NaN) }]) {
      const refused = await errorOf(atomic.start(reference, 1, { key: randomUUID(), ...wrong }));
      expect(refused.code).toBe("invalid-request");
    }
    expect((await errorOf(atomic.due(started.id, { at: new Date(Number.NaN) }))).code).toBe("invalid-request");
  });

  it("pauses a run, and lets it go on", async () => {
    const reference = workflow(echo);
    const started = await atomic.start(reference, 1, { key: randomUUID(), timeout: 0, paused: true });
    const until = new Date(Date.now() + 3_600_000);
    const paused = await atomic.pause(started.runId, { note: "later", until });
    expect(paused).toMatchObject({
      status: "pending",
      paused: { note: "later", until: until.toISOString(), by: null },
    });
    expect((await atomic.resume(started.runId)).paused).toBeUndefined();
    expect((await atomic.wait(started.id)).response).toEqual({ echo: 1 });
    expect((await errorOf(atomic.pause(started.runId))).code).toBe("run-ended");
  });

  it("does not call a run that has not begun in time", async () => {
    const reference = workflow(() => expect.unreachable("it was called"));
    for (const late of [{ startBy: new Date(0) }, { startAt: new Date(0), startBy: "1m" }] as const) {
      const error = await errorOf(atomic.start(reference, 1, { key: randomUUID(), ...late }));
      expect(error).toBeInstanceOf(StepFailedError);
      expect(error).toMatchObject({ code: "start-expired", failure: { attempts: 0 } });
      const again = await errorOf(atomic.wait((error as StepFailedError).failure.id));
      expect(again.code).toBe("start-expired");
    }
  });

  it("cancels a run and a step, and redrives a dead letter", async () => {
    const open = workflow(() => undefined);
    const started = await atomic.start(open, 1, { key: randomUUID(), timeout: 0 });
    expect((await atomic.cancel(started.runId)).status).toBe("cancelled");
    expect(await errorOf(atomic.wait(started.id))).toMatchObject({ code: "cancelled" });
    expect((await atomic.cancel(started.runId, { graceful: true, within: "5s" })).status).toBe("cancelled");
    let isMended = false;
    const broken = workflow((_, response) => response.writeHead(isMended ? 200 : 410).end("1"));
    const { failure } = (await errorOf(atomic.start(broken, 1, { key: randomUUID() }))) as StepFailedError;
    isMended = true;
    await atomic.redrive(failure.id);
    expect((await atomic.wait(failure.id)).response).toBe(1);
  });

  it("gives an event its result before its run exists, and rejects another", async () => {
    const event = { workflowName: "offer", key: randomUUID(), name: "approval" };
    expect(await atomic.signal(event, { approved: true })).toMatchObject({ was: "early", status: "succeeded" });
    expect(await atomic.signal(event, { approved: true })).toMatchObject({ was: "done" });
    expect(await errorOf(atomic.signal(event, 2))).toMatchObject({ code: "not-an-open-event" });
    const rejected = await atomic.reject({ ...event, number: 2 }, "no budget", { by: "ada" });
    expect(rejected).toMatchObject({ was: "early", status: "failed", name: "approval#2" });
  });
});

describe("a connection", () => {
  it("repeats what was lost or refused, and gives up with its patience", async () => {
    const sent: string[] = [];
    const busy = async (): Promise<Response> => {
      sent.push("once");
      if (sent.length === 1) {
        throw new TypeError("fetch failed", { cause: new Error("connect ECONNREFUSED") });
      }
      return sent.length < 4 ? new Response("", { status: 503 }) : Response.json({ id: "run_1-root" });
    };
    const patient = new Atomic({ url: "http://a.example", fetch: busy });
    expect(await patient.step("run_1-root")).toEqual({ id: "run_1-root" });
    expect(sent.length).toBe(4);
    const lost = (): Promise<Response> =>
      Promise.reject(new TypeError("fetch failed", { cause: new Error("refused") }));
    const hasty = new Atomic({ url: "http://a.example/", fetch: lost, patienceMs: 50 });
    expect(await errorOf(hasty.step("x"))).toMatchObject({
      code: "no-answer",
      message: /No answer from http:\/\/a.example: refused/,
    });
    expect(await errorOf(hasty.step("x"))).toBeInstanceOf(NoAnswerError);
  });

  it("tells an answer that is not Atomic's", async () => {
    const page = async (): Promise<Response> => new Response("<title>Login</title>", { status: 200 });
    expect(await errorOf(new Atomic({ url: "http://a.example", fetch: page }).step("x"))).toMatchObject({
      code: "refused",
    });
    const gateway = async (): Promise<Response> => new Response("no", { status: 404 });
    expect(await errorOf(new Atomic({ url: "http://a.example", fetch: gateway }).step("x"))).toMatchObject({
      status: 404,
    });
  });

  it.each(["localhost:8787", "ftp://a.example", "", "a b"].filter(Boolean))("refuses the URL %s", (url) => {
    expect(() => new Atomic({ url })).toThrow(RefusedError);
    expect(() => new Atomic({ url })).toThrow("is no URL of a server, such as");
  });

  it("reads an integer that a number cannot hold only if asked to", async () => {
    const { parseWithBigint } = await import("../src/bigint.ts");
    const big = async (): Promise<Response> => new Response('{"id": "x", "response": 9007199254740993}');
    const options = { url: "http://a.example", fetch: big };
    expect(await errorOf(new Atomic(options).step("x"))).toMatchObject({ code: "not-serializable" });
    expect((await new Atomic({ ...options, parse: parseWithBigint }).step("x")).response).toBe(9007199254740993n);
  });
});
