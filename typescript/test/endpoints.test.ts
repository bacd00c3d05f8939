import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, expectTypeOf, it, vi } from "vitest";
import { endpoints, type Jsonify, NonRetryable, RetryAfter, type WorkflowReference } from "../src/index.ts";
import { node } from "../src/node.ts";
import { ENVELOPE, SECRET, signatureOf } from "./signing.ts";

const URL_OF_IT = "https://app.example/shop/greet";

const app = endpoints({ secrets: [], atomic: { url: "http://127.0.0.1:1", patienceMs: 0 }, build: "b7" });
app.step("greet", ({ name }: { name: string }, call) => `${name} ${call.idempotencyKey} ${call.attempt}`);
app.step("void", () => undefined);
app.step("map", () => new Map());
app.step("fails", () => {
  throw new RangeError("too far");
});
app.step("ends", () => {
  throw new NonRetryable("no card");
});
app.step("waits", () => {
  throw new RetryAfter(1.2, "closed");
});
app.step("answers", () => {
  throw new Response("nobody", { status: 404 });
});
app.workflow("lonely", async (ctx) => ctx.run("value", () => 1));

function called(name: string, body: string = JSON.stringify(ENVELOPE), headers: Record<string, string> = {}): Request {
  return new Request(`https://app.example/shop/${name}`, { method: "POST", body, headers });
}

async function answer(name: string): Promise<[number, unknown, Headers]> {
  const response = await app.fetch(called(name));
  const text = await response.text();
  return [response.status, text === "" ? null : JSON.parse(text), response.headers];
}

describe("a step", () => {
  it("answers with its result, and says its build", async () => {
    const [status, result, headers] = await answer("greet");
    expect([status, result, headers.get("atomic-build")]).toEqual([200, "ada k 1", "b7"]);
    expect(await answer("void")).toMatchObject([200, null, {}]);
  });

  it("answers with its error, by which a policy may go", async () => {
    const logged = vi.spyOn(console, "error").mockReturnValue();
    const [status, problem, headers] = await answer("fails");
    expect([status, problem]).toMatchObject([500, { detail: "RangeError: too far" }]);
    expect(headers.get("atomic-error-type")).toBe("RangeError, Error");
    expect(logged).toHaveBeenCalledOnce();
    logged.mockRestore();
    const [ended, , final] = await answer("ends");
    expect([ended, final.get("atomic-no-retry")]).toEqual([500, "true"]);
    const [later, , pause] = await answer("waits");
    expect([later, pause.get("retry-after")]).toEqual([503, "2"]);
  });

  it("answers with a response that it throws, and logs nothing", async () => {
    const logged = vi.spyOn(console, "error").mockReturnValue();
    const response = await app.fetch(called("answers"));
    expect([response.status, await response.text()]).toEqual([404, "nobody"]);
    expect(logged).not.toHaveBeenCalled();
    logged.mockRestore();
  });

  it("fails for good with a result that JSON does not have", async () => {
    const [status, problem, headers] = await answer("map");
    expect([status, headers.get("atomic-no-retry")]).toEqual([500, "true"]);
    expect(problem).toMatchObject({
      detail: "The result of map cannot be stored: it is a Map, which JSON does not have.",
    });
  });
});

describe("a workflow whose server does not answer", () => {
  it("is called again, and uses no retry", async () => {
    const [status, , headers] = await answer("lonely");
    expect([status, headers.get("atomic-refused")]).toEqual([503, "true"]);
  });
});

describe("a workflow behind a gateway that gives up", () => {
  it("is called again, and waits for no step that the server may not know", async () => {
    const gateway = async (): Promise<Response> => new Response("Gateway Timeout", { status: 504 });
    const behind = endpoints({ atomic: { url: "http://a.example", fetch: gateway } });
    behind.workflow("order", async (ctx) => ctx.step("greet"));
    const response = await behind.fetch(called("order"));
    expect([response.status, response.headers.get("atomic-refused")]).toEqual([503, "true"]);
  });
});

describe("what is no call of Atomic", () => {
  it.each<[string, Request, number]>([
    ["an unknown path", called("other"), 404],
    ["a GET", new Request("https://app.example/shop/greet"), 405],
    ["no JSON", called("greet", "{"), 400],
    ["another document", called("greet", "[1]"), 400],
    ["half an envelope", called("greet", '{"runId": "run_1"}'), 400],
  ])("refuses %s", async (_, request, status) => {
    expect((await app.fetch(request)).status).toBe(status);
  });

  it("refuses a body that a parser has read, and says the cure", async () => {
    const request = called("greet");
    await request.text();
    const response = await app.fetch(request);
    expect(response.status).toBe(400);
    expect(await response.text()).toContain("serve this before");
  });
});

describe("a locked endpoint", () => {
  const locked = endpoints({ secrets: [SECRET] });
  locked.step("greet", () => "hello");

  function signed(url: string): Request {
    const body = JSON.stringify(ENVELOPE);
    return called("greet", body, signatureOf(url, body));
  }

  it("takes a signed call, and no other", async () => {
    expect((await locked.fetch(signed(URL_OF_IT))).status).toBe(200);
    expect((await locked.fetch(signed("https://app.example/shop/other"))).status).toBe(401);
    expect((await locked.fetch(called("greet"))).status).toBe(401);
  });

  it("refuses a secret that is none when it is first called", async () => {
    const wrong = endpoints({ secrets: ["whsec_short"] });
    await expect(wrong.fetch(called("greet"))).rejects.toThrow("a signing secret is whsec_");
  });
});

describe("on Node's http", () => {
  it("tells a parser that was there before", async () => {
    const handler = node(app);
    const server = createServer(async (request, response) => {
      for await (const _ of request) {
        // As express.json() does.
      }
      await handler(request, response);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/shop/greet`;
    const response = await fetch(url, { method: "POST", body: JSON.stringify(ENVELOPE) });
    expect([response.status, await response.text()]).toEqual([400, expect.stringContaining("before the parser")]);
    expect((await fetch(url)).status).toBe(405);
    server.closeAllConnections();
    server.close();
  });
});

describe("names", () => {
  it.each(["greet", "a/b", "", "a b"])("refuses %j", (name) => {
    expect(() => app.step(name, () => 1)).toThrow(TypeError);
  });
});

describe("types", () => {
  it("follow the functions", () => {
    const typed = endpoints();
    const user = typed.step("user", async (name: string) => ({
      name,
      born: new Date(),
      greet: () => "hi",
      id: undefined,
    }));
    const create = typed.workflow("create", async (ctx, name: string) => {
      const created = await ctx.step(user, name);
      expectTypeOf(created).toEqualTypeOf<{ name: string; born: string; id?: never }>();
      // @ts-expect-error - it takes a string
      void (() => ctx.step(user, 1));
      return created.born;
    });
    expectTypeOf(create.at("")).toEqualTypeOf<WorkflowReference<string, string>>();
    expectTypeOf<Jsonify<[Date, number, undefined]>>().toEqualTypeOf<[string, number, null]>();
    // JSON leaves out members that are undefined, and has one kind of numbers.
    expectTypeOf<Jsonify<{ a: string | undefined; b?: Date; c: unknown }>>().toEqualTypeOf<{
      a?: string;
      b?: string;
      c: unknown;
    }>();
    expectTypeOf<Jsonify<bigint>>().toEqualTypeOf<bigint | number>();
    expectTypeOf<Jsonify<"a" | "b" | Date | null>>().toEqualTypeOf<"a" | "b" | string | null>();
  });
});
