import { describe, expect, it } from "vitest";
import { SignatureRefusedError, verifier, verify } from "../src/signatures.ts";
import { type SignatureVectors, vectors } from "./vectors.ts";

const { secrets, publicKeys, calls } = vectors<SignatureVectors>("signatures");
const [secret = "", otherSecret = ""] = secrets;
const paths = ["/echo", "/users/créer", "/orders/place"];
const signed = calls.map((call, index) => ({ ...call, path: paths[index] ?? "" }));
const [first, second] = signed as [Signed, Signed, Signed];

interface Signed {
  headers: Record<string, string>;
  body: string;
  path: string;
}

interface Change {
  headers?: Record<string, string>;
  body?: string;
  path?: string;
  laterS?: number;
  known?: string[];
}

function check(
  call: Signed,
  { headers = {}, body = call.body, path = call.path, laterS = 0, known = [secret] }: Change = {},
): Promise<string> {
  const sent = new Headers({ ...call.headers, ...headers });
  const nowS = Number(call.headers["webhook-timestamp"]) + laterS;
  return verify(known.map(verifier), { headers: sent, body: new TextEncoder().encode(body) }, path, nowS);
}

describe("verify", () => {
  it.each(signed)("accepts the call of $path, and tells its URL", async (call) => {
    expect(await check(call)).toBe(call.headers["atomic-url"]);
  });

  it("accepts any live secret, and any public key", async () => {
    for (const known of [[otherSecret], ...publicKeys.map((key) => [key]), [`whsec_${btoa("0".repeat(24))}`, secret]]) {
      await expect(check(second, { known })).resolves.toContain("https://app.example/");
    }
  });

  it("accepts a path from which a proxy took the beginning, within five minutes", async () => {
    await expect(check(second, { path: "/créer", laterS: 300 })).resolves.toContain("https://");
    await expect(check(second, { laterS: -300 })).resolves.toContain("https://");
  });

  it.each<[string, Change]>([
    ["another body", { body: "{}" }],
    ["another path", { path: "/other" }],
    ["the end of a name", { path: "/cho" }],
    ["an old call", { laterS: 301 }],
    ["a call of the future", { laterS: -301 }],
    ["another secret", { known: [otherSecret] }],
    ["another public key", { known: [publicKeys[1] ?? ""] }],
    ["no secret at all", { known: [] }],
    ["another spelling of the time", { headers: { "webhook-timestamp": "+1790000000" } }],
    ["another id", { headers: { "webhook-id": "run_y" } }],
    ["another URL", { headers: { "atomic-url": "http://127.0.0.1:9000/x/echo" } }],
    ["a signature that is no base64", { headers: { "webhook-signature": "v1,=" } }],
    [
      "a signature of another version",
      { headers: { "webhook-signature": (first.headers["webhook-signature"] ?? "").replace("v1,", "v2,") } },
    ],
  ])("refuses %s", async (_, change) => {
    await expect(check(first, change)).rejects.toThrow(SignatureRefusedError);
  });

  it.each(Object.keys(first.headers))("refuses a call without %s", async (missing) => {
    const headers = new Headers(first.headers);
    headers.delete(missing);
    const body = new TextEncoder().encode(first.body);
    await expect(verify([verifier(secret)], { headers, body }, first.path, 1790000000)).rejects.toThrow(missing);
  });
});

describe("verifier", () => {
  it.each(["whsec_", "whsec_c2hvcnQ=", "whsec_***", "whpk_c2hvcnQ=", ""])("refuses %s", (text) => {
    expect(() => verifier(text)).toThrow(TypeError);
  });
});
