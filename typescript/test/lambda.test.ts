/** Events of an HTTP API, a REST API, a function URL and a load balancer, in the forms that AWS documents. */

import { describe, expect, it } from "vitest";
import { endpoints } from "../src/index.ts";
import { type LambdaEvent, lambda } from "../src/lambda.ts";
import { ENVELOPE, SECRET, signatureOf } from "./signing.ts";

const users = endpoints({ secrets: [SECRET] });
users.step("greet", ({ name }: { name: string }, call) => [name, call.url]);
const handler = lambda(users);

const BODY = JSON.stringify({ ...ENVELOPE, payload: { name: "ädä" } });
const HOST = "a1.execute-api.eu-central-1.amazonaws.com";

/** The event of a call of a URL, from the path that the gateway tells and the headers. */
type Gateway = (path: string, headers: Record<string, string>) => LambdaEvent;

const version2: Gateway = (path, headers) => ({
  rawPath: path,
  headers,
  requestContext: { domainName: HOST, http: { method: "POST" } },
  body: Buffer.from(BODY).toString("base64"),
  isBase64Encoded: true,
});
const version1: Gateway = (path, headers) => ({
  httpMethod: "POST",
  path: path.replace("/prod", ""),
  headers,
  multiValueHeaders: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, [value]])),
  requestContext: { domainName: HOST, path },
  body: BODY,
  isBase64Encoded: false,
});
const balancer: Gateway = (path, headers) => ({
  httpMethod: "POST",
  path,
  multiValueHeaders: Object.fromEntries(
    Object.entries({ ...headers, host: HOST, "x-forwarded-proto": "http" }).map(([name, is]) => [name, ["old", is]]),
  ),
  requestContext: {},
  body: BODY,
  isBase64Encoded: false,
});

describe.each<[string, Gateway, string, string]>([
  ["an HTTP API", version2, "/users/greet", "/users/greet"],
  ["an HTTP API with a stage", version2, "/prod/users/greet", "/prod/users/greet"],
  ["an HTTP API, which decodes the path", version2, "/büro eins/greet", "/b%C3%BCro%20eins/greet"],
  ["a function URL", version2, "/b%C3%BCro%20eins/greet", "/b%C3%BCro%20eins/greet"],
  ["a REST API with a stage", version1, "/prod/users/greet", "/prod/users/greet"],
  ["a load balancer with lists of headers", balancer, "/users/greet", "/users/greet"],
])("behind %s", (_, gateway, path, called) => {
  const url = `https://${HOST}${called}`;

  it("takes a signed call, and no other", async () => {
    const signed = await handler(gateway(path, signatureOf(url, BODY)));
    expect([signed.statusCode, JSON.parse(signed.body)]).toEqual([200, ["ädä", url]]);
    const unsigned = await handler(gateway(path, {}));
    expect(unsigned.statusCode).toBe(401);
    const other = await handler(gateway(path, signatureOf(url.replace("greet", "other"), BODY)));
    expect(other.statusCode).toBe(401);
  });
});

describe("what is no call", () => {
  it("is answered, or refused where it is no request at all", async () => {
    const get = { rawPath: "/users/greet", requestContext: { http: { method: "GET" } } };
    expect((await handler(get)).statusCode).toBe(405);
    const lists = await handler(balancer("/users/other", {}));
    expect(lists).toMatchObject({ statusCode: 404, multiValueHeaders: { "content-type": [expect.any(String)] } });
    await expect(handler({ Records: [] } as unknown as LambdaEvent)).rejects.toThrow("is no HTTP request");
  });
});
