import { randomBytes, randomInt, randomUUID } from "node:crypto";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, inject, it } from "vitest";
import { parseWithBigint } from "../src/bigint.ts";
import { canonicalJson } from "../src/canonical.ts";
import { KeyRing, type Place } from "../src/ciphers.ts";
import { Encryption, EncryptionError, type EncryptionKey } from "../src/encryption.ts";
import { EventClient } from "../src/event_client.ts";
import { Connection } from "../src/http.ts";
import { Atomic, endpoints, type StepOutcome } from "../src/index.ts";
import { node } from "../src/node.ts";
import { Runs } from "../src/runs.ts";
import { every, Schedules } from "../src/schedules.ts";
import { until } from "./served.ts";
import { type EncryptionVectors, vectors } from "./vectors.ts";

const { keys, values, refused } = vectors<EncryptionVectors>("encryption");
const all = Object.entries(keys).map(([id, key]) => ({ id, key }));
const OLD = { id: "old", key: new Uint8Array(32).fill(1) };
const NEW = { id: "new", key: new Uint8Array(32).fill(2) };
const run = `run_${"0".repeat(32)}`;
const place: Place = { runId: run, stepId: `${run}-root`, kind: "step", part: "payload" };

async function sealed(json: string, at: Place = place, key: EncryptionKey = OLD): Promise<unknown> {
  const [cipher] = await new KeyRing([key]).ciphers();
  return cipher?.sealed(json, at);
}

describe("the vectors that Python runs as well", () => {
  it.each(values)("$json of $where.kind", async ({ where, json, encrypted }) => {
    const id = encrypted.$enc.k;
    const own = canonicalJson(parseWithBigint(json));
    expect(await sealed(own, where, { id, key: keys[id] as string })).toEqual(encrypted);
    expect(await new KeyRing(all).opened(encrypted, where)).toBe(own);
  });

  it.each(refused)("refuses $what", async ({ where, encrypted }) => {
    await expect(new KeyRing(all).opened(encrypted, where)).rejects.toBeInstanceOf(EncryptionError);
  });
});

/** Any value that JSON has. */
function drawn(depth = 0): unknown {
  const kind = randomInt(depth > 3 ? 6 : 8);
  const several = Array.from({ length: randomInt(4) });
  switch (kind) {
    case 0:
      return null;
    case 1:
      return randomInt(2) === 1;
    case 2:
      return randomInt(2 ** 40) - 2 ** 39;
    case 3:
      return randomBytes(8).readBigUInt64LE();
    case 4:
      return Math.random() * 10 ** (randomInt(600) - 300);
    case 5:
      return randomBytes(randomInt(20)).toString("utf8");
    case 6:
      return several.map(() => drawn(depth + 1));
    default:
      return Object.fromEntries(several.map(() => [randomBytes(4).toString("utf8"), drawn(depth + 1)]));
  }
}

describe("a value", () => {
  const ring = new KeyRing([OLD]);
  const elsewhere: Place[] = [
    { ...place, runId: `run_${"1".repeat(32)}` },
    { ...place, stepId: `${run}-${"1".repeat(32)}` },
    { ...place, part: "result" },
    { ...place, part: "result", kind: "value" },
    { ...place, part: "result", kind: "event", stepId: null },
  ];

  it("comes back, is written equally, and is read nowhere else", async () => {
    for (let turn = 0; turn < 100; turn++) {
      const json = canonicalJson(drawn());
      const encrypted = (await sealed(json)) as { $enc: { v: number; k: string; n: string; c: string } };
      expect(await ring.opened(encrypted, place)).toBe(json);
      expect(await sealed(json)).toEqual(encrypted);
      const other = elsewhere[turn % elsewhere.length] as Place;
      expect(((await sealed(json, other)) as typeof encrypted).$enc.n).not.toBe(encrypted.$enc.n);
      await expect(ring.opened(encrypted, other), json).rejects.toMatchObject({ code: "not-decodable" });
      const { c } = encrypted.$enc;
      const at = randomInt(c.length);
      const changed = `${c.slice(0, at)}${c[at] === "A" ? "B" : "A"}${c.slice(at + 1)}`;
      await expect(ring.opened({ $enc: { ...encrypted.$enc, c: changed } }, place)).rejects.toThrow("decrypted");
    }
  });

  it("of two megabytes comes back", async () => {
    const json = JSON.stringify("x".repeat(2 ** 21));
    expect(await ring.opened((await sealed(json)) as never, place)).toBe(json);
  });
});

describe("keys", () => {
  it.each([
    [[], "at least one"],
    [[{ id: "a b", key: OLD.key }], "key id 'a b'"],
    [[OLD, OLD], "each id once"],
    [[{ id: "k", key: "c2hvcnQ=" }], "key 'k': give 32 random bytes"],
    [[{ id: "k", key: new Uint8Array(31) }], "key 'k': give 32 random bytes"],
  ])("%# are refused", (given, why) => {
    expect(() => new Encryption({ keys: given })).toThrow(why);
  });

  it("are fetched when they are needed, and again for an unknown id", async () => {
    let fetched = 0;
    let current = [OLD];
    const ring = new KeyRing(async () => {
      fetched++;
      return current;
    });
    expect(fetched).toBe(0);
    await Promise.all([ring.ciphers(), ring.ciphers()]);
    current = [NEW, OLD];
    const error = { code: "unknown-key", keyId: "new" };
    await expect(ring.opened((await sealed("1", place, NEW)) as never, place)).rejects.toMatchObject(error);
    expect(fetched).toBe(1);
    const { now } = Date;
    Date.now = () => now() + 11_000;
    try {
      expect(await ring.opened((await sealed("1", place, NEW)) as never, place)).toBe("1");
    } finally {
      Date.now = now;
    }
    expect(fetched).toBe(2);
  });

  it("are asked for again when they could not be fetched", async () => {
    let isThere = false;
    const ring = new KeyRing(() => {
      if (!isThere) throw new Error("no answer");
      return [OLD];
    });
    await expect(ring.ciphers()).rejects.toThrow("no answer");
    isThere = true;
    expect(await ring.ciphers()).toHaveLength(1);
  });
});

const connection = { url: inject("atomicUrl"), clientId: "ts-encryption" };
const plain = new Atomic(connection);
const opened: Server[] = [];

afterEach(async () => {
  for (const server of opened.splice(0)) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

interface Deployed {
  readonly url: string;
  readonly atomic: Atomic;
  readonly events: EventClient;
  /** The requests that the workflows made. */
  readonly sent: string[];
}

/** An application that is deployed with these keys, at the port of an earlier one. */
async function deployed(encryption: Encryption, port = 0): Promise<Deployed> {
  const sent: string[] = [];
  const fetch: typeof globalThis.fetch = async (input, init) => {
    sent.push(`${init?.method} ${new URL(`${input}`).pathname}`);
    return globalThis.fetch(input, init);
  };
  const app = endpoints({ atomic: encryption.connection({ ...connection, fetch, parse: parseWithBigint }), waitMs: 1 });
  const echo = app.step("echo", (payload: unknown) => payload);
  app.step("broken", () => {
    throw new TypeError("a detail that all may read");
  });
  const child = app.workflow("child", async (ctx, payload: unknown) => ctx.step(echo, payload));
  app.workflow("monthly", async (ctx, month: number) => (month < 3 ? ctx.continueAs(month + 1) : "the last canary"));
  app.workflow("whole", async (ctx, payload: string) => {
    const seen: unknown[] = [await ctx.step(echo, payload), await ctx.run("drawn", () => `${payload} drawn`)];
    seen.push(...(await ctx.map([payload, `${payload} again`], echo)).results());
    const handle = await ctx.startRun(child, payload);
    seen.push(await handle.result());
    await ctx.startRun(child, payload, { detached: true });
    await ctx.sleep("10ms");
    const event = await ctx.openEvent("by id");
    seen.push(await ctx.event("by id"), event.id.length, await ctx.event("go"));
    seen.push(await ctx.step(echo, 2n ** 60n), await ctx.step(echo, null));
    return [...seen, await ctx.step(echo, `${payload} at last`)];
  });
  const server = createServer(node(encryption.serve(app)));
  opened.push(server);
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  const own = encryption.connection({ ...connection, parse: parseWithBigint });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { url, atomic: new Atomic(own), events: new EventClient(own), sent };
}

async function play(
  { url, atomic, events }: Deployed,
  key: string,
  after?: () => Promise<Atomic>,
): Promise<StepOutcome> {
  const whole = { workflowName: "whole", url: `${url}/whole` };
  const { runId } = await atomic.start(whole, "a canary", { key, timeout: 0 });
  const event = await until(async () =>
    (await plain.get(runId)).steps.find(({ kind, stepName }) => kind === "event" && stepName === "by id"),
  );
  await events.complete(event.id, { by: "a canary" });
  const last = (await after?.()) ?? atomic;
  await last.signal({ workflowName: "whole", key, name: "go" }, "went");
  return last.start(whole, "a canary", { key, timeout: "20s" });
}

const RESULT = [
  "a canary",
  "a canary drawn",
  "a canary",
  "a canary again",
  "a canary",
  { by: "a canary" },
  69,
  "went",
  2n ** 60n,
  null,
  "a canary at last",
];

describe("on a server", () => {
  it("all values are encrypted, and each is read by its owner", async () => {
    const app = await deployed(new Encryption({ keys: [OLD], refusePlain: true }));
    const outcome = await play(app, randomUUID());
    expect(outcome.response).toEqual(RESULT);
    const { root, steps } = await plain.get(outcome.runId);
    expect(JSON.stringify([root, steps])).not.toContain("canary");
    const waited = await app.atomic.wait(root.id);
    expect(waited.response).toEqual(RESULT);
    // What an earlier attempt has posted is not posted again.
    const posts = app.sent.filter((each) => each.endsWith("/steps")).length;
    expect(posts).toBeLessThanOrEqual(steps.length + 6);
  });

  it("a run goes on as another one", async () => {
    const { url, atomic } = await deployed(new Encryption({ keys: [OLD], refusePlain: true }));
    const monthly = { workflowName: "monthly", url: `${url}/monthly` };
    const { response, runId } = await atomic.start(monthly, 1, { key: randomUUID() });
    expect(response).toBe("the last canary");
    expect(JSON.stringify(await plain.get(runId))).not.toContain("canary");
  });

  it("a run of the old key goes on under rotation", async () => {
    const key = randomUUID();
    const before = await deployed(new Encryption({ keys: [OLD] }));
    const outcome = await play(before, key, async () => {
      const [server] = opened.splice(0);
      server?.closeAllConnections();
      await new Promise((resolve) => server?.close(resolve));
      return (await deployed(new Encryption({ keys: [NEW, OLD] }), Number(new URL(before.url).port))).atomic;
    });
    expect(outcome.response).toEqual(RESULT);
    const { steps } = await plain.get(outcome.runId);
    const used = steps.map(({ payload }) => (payload as { $enc?: { k: string } } | null)?.$enc?.k);
    expect(new Set(used.filter(Boolean))).toEqual(new Set(["old", "new"]));
    expect(steps.filter(({ kind }) => kind === "http").every(({ attempts }) => attempts === 1)).toBe(true);
    const other = { workflowName: "whole", url: `${before.url}/whole` };
    const rotated = new Atomic(new Encryption({ keys: [NEW, OLD] }).connection(connection));
    await expect(rotated.start(other, "another", { key })).rejects.toMatchObject({ code: "payload-mismatch" });
    const address = { workflowName: "whole", key, name: "go" };
    expect(await rotated.signal(address, "went")).toMatchObject({ was: "done" });
    await expect(rotated.signal(address, "else")).rejects.toMatchObject({ code: "not-an-open-event" });
  });

  it("an unknown key is named, and the program is asked again", async () => {
    const { url, atomic } = await deployed(new Encryption({ keys: [OLD] }));
    const echo = { workflowName: "echo", url: `${url}/echo` };
    const { id } = await atomic.start(echo, "a canary", { key: randomUUID() });
    const other = new Atomic(new Encryption({ keys: [NEW] }).connection(connection));
    await expect(other.wait(id)).rejects.toMatchObject({
      name: "EncryptionError",
      code: "unknown-key",
      keyId: "old",
      message: `The result of ${id} is encrypted with key 'old', and this program has 'new'. Give it that key as well, after the one that it writes with.`,
    });
    const failed = other.start(echo, 1, { key: randomUUID(), retry: 0 });
    await expect(failed).rejects.toMatchObject({ failure: { lastStatus: 503 } });
    await expect(failed).rejects.toThrow("encrypted with key 'new', and this program has 'old'");
  });

  it("errors are plain, and so is what a plain program sends", async () => {
    const { url, atomic } = await deployed(new Encryption({ keys: [OLD] }));
    const broken = atomic.start({ workflowName: "broken", url: `${url}/broken` }, 1, { key: randomUUID(), retry: 0 });
    await expect(broken).rejects.toThrow("a detail that all may read");
    const echo = { workflowName: "echo", url: `${url}/echo` };
    const { id } = await plain.start(echo, "plain", { key: randomUUID() });
    expect((await atomic.wait(id)).response).toBe("plain");
    const strict = await deployed(new Encryption({ keys: [OLD], refusePlain: true }));
    const refused = plain.start({ ...echo, url: `${strict.url}/echo` }, 1, { key: randomUUID(), retry: 0 });
    await expect(refused).rejects.toThrow("is not encrypted");
  });

  it("what is set up in part sends no plain result", async () => {
    const encryption = new Encryption({ keys: [OLD] });
    const key = randomUUID();
    const bare = endpoints({ atomic: connection });
    bare.step("echo", (payload: unknown) => payload);
    const unserved = endpoints({ atomic: encryption.connection(connection) });
    unserved.workflow("main", async (ctx) => ctx.step("echo", "x"));
    for (const [app, name] of [
      [encryption.serve(bare), "echo"],
      [unserved, "main"],
    ] as const) {
      const server = createServer(node(app));
      opened.push(server);
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/${name}`;
      const atomic = new Atomic(encryption.connection(connection));
      const failed = atomic.start({ workflowName: name, url }, 1, { key, retry: 0 });
      await expect(failed).rejects.toThrow(/atomic: encryption.connection|encryption.serve\(endpoints\)/);
    }
  });

  it("steps are encrypted wherever the server takes them", async () => {
    const sent: unknown[] = [];
    const fetch: typeof globalThis.fetch = async (_, init) => {
      sent.push(init?.body);
      return new Response(JSON.stringify({ status: "pending" }), { status: 202 });
    };
    const options = { url: "http://server.invalid", clientId: "dev", fetch };
    const server = new Connection(new Encryption({ keys: [OLD] }).connection(options));
    const step = { workflowName: "w", idempotencyKey: "k", stepInvokeUrl: "http://app.invalid/x", payload: "a canary" };
    for (const [path, parent] of [
      ["/dev", undefined],
      ["/dev", `${run}-root`],
      ["/dev/steps", `${run}-root`],
      ["/behind/a/proxy/dev/steps", `${run}-root`],
    ] as const) {
      await server.exchange({ method: "POST", path, body: JSON.stringify({ ...step, parent }) });
    }
    const event = JSON.stringify({ workflowName: "w", idempotencyKey: "k", name: "e", result: "a canary" });
    await server.exchange({ method: "POST", path: "/dev/events", body: event });
    await server.exchange({ method: "POST", path: `/dev/steps/${run}-x/result`, body: '"a canary"' });
    expect(sent).toHaveLength(6);
    for (const body of sent) {
      expect(body).toContain("$enc");
      expect(body).not.toContain("canary");
    }
  });

  it("an endpoint whose keys cannot be had is called again", async () => {
    let isThere = false;
    const { url } = await deployed(
      new Encryption({
        keys: () => {
          if (!isThere) {
            isThere = true;
            throw new Error("a detail of the service");
          }
          return [OLD];
        },
      }),
    );
    const atomic = new Atomic(new Encryption({ keys: [OLD] }).connection(connection));
    const echo = { workflowName: "echo", url: `${url}/echo` };
    const retry = { count: 2, backOff: 50 };
    const { response, attempts } = await atomic.start(echo, "a canary", { key: randomUUID(), retry });
    expect([response, attempts]).toEqual(["a canary", 2]);
  });

  it("a schedule takes no payload, since it is for many runs", async () => {
    const schedules = new Schedules(new Encryption({ keys: [OLD] }).connection(connection));
    const workflow = { workflowName: "w", url: "http://127.0.0.1:9/w" };
    const put = schedules.put("s", every("1h"), workflow, 1);
    await expect(put).rejects.toMatchObject({ code: "invalid-request" });
  });

  it("a restart sends no payload in plain, and copies none that only one run can read", async () => {
    const encrypted = new Encryption({ keys: [OLD] }).connection(connection);
    const nobody = { workflowName: "w", url: "http://127.0.0.1:9/w" };
    const atomic = new Atomic(encrypted);
    const { runId } = await atomic.start(nobody, "a canary", { key: randomUUID(), paused: true, timeout: 0 });
    await atomic.cancel(runId);
    const runs = new Runs(encrypted);
    await expect(runs.restart(runId, { payload: "a canary" })).rejects.toThrow("it would be sent in plain");
    await expect(runs.restart(runId)).rejects.toThrow("the payload of the run is encrypted");
  });
});
