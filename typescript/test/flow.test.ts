import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, expect, inject, it } from "vitest";
import { FlowKeys } from "../src/flow.ts";
import { Atomic } from "../src/index.ts";

const connection = { url: inject("atomicUrl"), clientId: "ts-flow" };
let open = 0;
let most = 0;
let server: Server;

beforeAll(async () => {
  server = createServer(async (_, response) => {
    most = Math.max(most, ++open);
    await new Promise((resolve) => setTimeout(resolve, 100));
    open--;
    response.end("1");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});
afterAll(() => new Promise((resolve) => server.close(resolve)));

it("lets so many attempts of a key in at a time, and operators pin and pause it", async () => {
  const atomic = new Atomic(connection);
  const keys = new FlowKeys(connection);
  const mail = { workflowName: "mail", url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/` };
  const flow = [{ key: "smtp", concurrency: 2, fair: "a", rate: { limit: 1000, per: 1000 } }];
  await Promise.all(Array.from({ length: 8 }, (_, key) => atomic.start(mail, null, { key: `${key}`, flow })));
  expect(most).toBe(2);
  expect(await keys.get("smtp")).toMatchObject({ concurrency: 2, running: 0, queued: 0, paused: false });
  expect((await keys.pin("smtp", { concurrency: 1 })).pinned.concurrency).toBe(1);
  expect(await keys.pause("smtp", { note: "slow" })).toMatchObject({ paused: true, note: "slow" });
  const late = atomic.start(mail, null, { key: "late", flow });
  await expect.poll(async () => (await keys.get("smtp")).queued).toBe(1);
  expect((await keys.steps("smtp")).queued).toMatchObject([{ workflowName: "mail", fair: "a" }]);
  expect((await keys.resume("smtp")).concurrency).toBe(1);
  expect((await late).status).toBe("succeeded");
  expect((await keys.pin("smtp", { concurrency: null })).concurrency).toBe(2);
  expect((await keys.list()).map(({ key }) => key)).toContain("smtp");
});
