import { expect, it, vi } from "vitest";
import { failure } from "../src/answers.ts";
import type { NonRetryable, RetryAfter } from "../src/index.ts";

vi.resetModules();
const other = (await import("../src/index.ts")) as unknown as {
  NonRetryable: typeof NonRetryable;
  RetryAfter: typeof RetryAfter;
};

it("knows the errors of another copy of the package, as ESM and CommonJS are in one program", () => {
  class Declined extends other.NonRetryable {
    override readonly name = "Declined";
  }
  expect(failure(new Declined("no card")).headers.get("atomic-no-retry")).toBe("true");
  const later = failure(new other.RetryAfter(7));
  expect([later.status, later.headers.get("retry-after")]).toEqual([503, "7"]);
  expect(failure(new Error("no card")).headers.get("atomic-no-retry")).toBeNull();
});
