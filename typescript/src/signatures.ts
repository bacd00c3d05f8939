/**
 * Signatures of Atomic's calls: Standard Webhooks (https://www.standardwebhooks.com), HMAC-SHA256 of
 * `id.timestamp.body` and Ed25519, and `atomic-signature`, which binds the call to its URL.
 */

/** The call was not signed by a known secret or key within the last five minutes; answer it with 401. */
export class SignatureRefusedError extends Error {
  /** The stable name of this error. */
  readonly code = "signature-refused" as const;
  override readonly name = "SignatureRefusedError";
}

const PUBLIC_PREFIX = "whpk_";
const TOLERANCE_S = 300;
// Only one spelling of a moment: with `+1` for `1` the same call would look like another one.
const TIMESTAMP = /^[1-9][0-9]{0,14}$/;
const utf8 = new TextEncoder();

/** What checks a signature: a secret (`whsec_…`) or a public key of Ed25519 (`whpk_…`). */
export type Verifier = (message: Uint8Array, offered: readonly string[]) => Promise<boolean>;

/**
 * The check for a printable secret, `whsec_` and the base64 of 24 to 64 bytes, or for a public key, `whpk_`
 * and the base64 of 32 bytes. Throws TypeError for any other text.
 */
export function verifier(text: string): Verifier {
  const bytes = decoded(text.replace(/^wh(sec|pk)_/, ""));
  if (text.startsWith(PUBLIC_PREFIX)) {
    return bytes?.length === 32
      ? keyed(bytes, { name: "Ed25519" }, "v1a")
      : refuse("a public key is whpk_ and the base64 of 32 bytes");
  }
  // Anybody could sign with an empty secret, and the standard wants no short one.
  return bytes && bytes.length >= 24 && bytes.length <= 64
    ? keyed(bytes, { name: "HMAC", hash: "SHA-256" }, "v1")
    : refuse("a signing secret is whsec_ and the base64 of 24 to 64 bytes");
}

function refuse(why: string): never {
  throw new TypeError(why);
}

/** A call as it came: headers by their names in lower case, and the body as it was sent. */
export interface SignedCall {
  readonly headers: { get(name: string): string | null };
  readonly body: Uint8Array;
}

/**
 * Accept a call that one of the verifiers knows and whose time is at most 300 s off. Throws
 * SignatureRefusedError otherwise. Returns the URL for which it was signed.
 */
export async function verify(
  verifiers: readonly Verifier[],
  call: SignedCall,
  path: string,
  nowS: number,
): Promise<string> {
  const id = header(call, "webhook-id");
  const timestamp = header(call, "webhook-timestamp");
  const signature = header(call, "webhook-signature");
  if (!TIMESTAMP.test(timestamp)) {
    throw new SignatureRefusedError("the webhook-* headers are missing or malformed");
  }
  if (Math.abs(nowS - Number(timestamp)) > TOLERANCE_S) {
    throw new SignatureRefusedError("the time stamp is more than five minutes off; check the clocks");
  }
  if (!(await isKnown(verifiers, joined(utf8.encode(`${id}.${timestamp}.`), call.body), signature))) {
    throw new SignatureRefusedError("no signature matches; check the signing secret of this client");
  }
  return target(verifiers, call, path, signature);
}

async function target(
  verifiers: readonly Verifier[],
  call: SignedCall,
  path: string,
  signature: string,
): Promise<string> {
  const url = header(call, "atomic-url");
  const offered = header(call, "atomic-signature");
  // That signature covers id, time and body, so they need not be hashed again.
  if (!(await isKnown(verifiers, utf8.encode(`POST ${url} ${signature}`), offered))) {
    throw new SignatureRefusedError("no atomic-signature matches; the call was made for another URL");
  }
  const called = pathOf(url);
  if (called !== path && !called.endsWith(`/${path.replace(/^\/+/, "")}`)) {
    throw new SignatureRefusedError(`the call was made for ${called}, not for this path`);
  }
  return url;
}

/** The path of a URL, decoded. Those of `lambda:NAME/path` begin after the function. */
function pathOf(url: string): string {
  const path = /^[a-z]+:(?:\/\/)?[^/?#]*(\/[^?#]*)/i.exec(url)?.[1] ?? "/";
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

function header(call: SignedCall, name: string): string {
  const value = call.headers.get(name);
  if (value === null) {
    throw new SignatureRefusedError(`the header ${name} is missing: Atomic signs its calls`);
  }
  return value;
}

async function isKnown(verifiers: readonly Verifier[], message: Uint8Array, signatures: string): Promise<boolean> {
  const offered = signatures.split(/\s+/);
  const matches = await Promise.all(verifiers.map((matches) => matches(message, offered)));
  return matches.includes(true);
}

function keyed(bytes: Uint8Array, algorithm: HmacImportParams | Algorithm, version: string): Verifier {
  const key = crypto.subtle.importKey("raw", bytes as BufferSource, algorithm, false, ["verify"]);
  return (message, offered) =>
    anyOf(offered, version, async (signature) =>
      crypto.subtle.verify(algorithm.name, await key, signature, message as BufferSource),
    );
}

/** Whether a signature of this version matches; `v1,<base64>` and others stand side by side. */
async function anyOf(
  offered: readonly string[],
  version: string,
  check: (signature: BufferSource) => Promise<boolean>,
): Promise<boolean> {
  const own = offered.filter((each) => each.startsWith(`${version},`));
  const signatures = own.map((each) => decoded(each.slice(version.length + 1))).filter((each) => each !== null);
  const matches = await Promise.all(signatures.map((each) => check(each as BufferSource)));
  return matches.includes(true);
}

function decoded(base64: string): Uint8Array | null {
  if (!/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(base64)) {
    return null;
  }
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

function joined(one: Uint8Array, other: Uint8Array): Uint8Array {
  const both = new Uint8Array(one.length + other.length);
  both.set(one);
  both.set(other, one.length);
  return both;
}
