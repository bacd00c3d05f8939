/**
 * Values that only programs with the keys can read, byte for byte as docs/encryption.md describes them.
 *
 * Each value is encrypted by AES-256-GCM for its place. The nonce is computed from the key, the place and the value,
 * because a replay must post the same bytes again. It needs WebCrypto, and nothing else.
 */

/** 32 random bytes, or their base64, under an id that is no secret. */
export interface EncryptionKey {
  readonly id: string;
  readonly key: Uint8Array | string;
}

/** Where a value belongs. An event has no `stepId`, since its sender need not know it. */
export interface Place {
  readonly runId: string;
  readonly stepId: string | null;
  readonly kind: "step" | "value" | "event";
  readonly part: "payload" | "result";
}

/** What is stored in place of a value. */
export interface Sealed {
  readonly $enc: { readonly v: number; readonly k: string; readonly n: string; readonly c: string };
}

/**
 * A value cannot be read: it was changed, belongs elsewhere, or was encrypted with a key that is not here. `not-served`:
 * endpoints are set up in part, and their values would be sent in plain.
 */
export class EncryptionError extends Error {
  override readonly name = "EncryptionError";

  /** `keyId`: the key that is not here. */
  constructor(
    readonly code: "not-decodable" | "unknown-key" | "not-served",
    message: string,
    readonly keyId?: string,
  ) {
    super(message);
  }
}

type Bytes = Uint8Array<ArrayBuffer>;

const VERSION = 1;
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const FETCH_PAUSE_MS = 10_000;
// More arguments than this of one function overflow the stack.
const CHUNK = 0x8000;
const utf8 = new TextEncoder();
const text = new TextDecoder("utf-8", { fatal: true });

/** Whether a value has the form of an encrypted one. */
export function isSealed(value: unknown): value is Sealed {
  return typeof value === "object" && value !== null && Object.keys(value).join() === "$enc";
}

/** The keys of a program. The first one encrypts, and each of them decrypts. */
export class KeyRing {
  readonly #fetch: (() => readonly EncryptionKey[] | Promise<readonly EncryptionKey[]>) | undefined;
  #keys: Promise<Map<string, Cipher>> | undefined;
  #fetchedMs = 0;

  /** A function is called when keys are first needed, and again for an id that is unknown. Throws TypeError. */
  constructor(keys: readonly EncryptionKey[] | (() => readonly EncryptionKey[] | Promise<readonly EncryptionKey[]>)) {
    if (typeof keys === "function") {
      this.#fetch = keys;
    } else {
      this.#keys = Promise.resolve(checked(keys));
    }
  }

  /** What encrypts: the first one writes, and the others may have written before. */
  async ciphers(): Promise<Cipher[]> {
    return [...(await this.#known()).values()];
  }

  /** The JSON of an encrypted value. Throws EncryptionError. */
  async opened({ $enc: form }: Sealed, place: Place): Promise<string> {
    const members = Object.keys(Object(form)).sort().join();
    if (members !== "c,k,n,v" || form.v !== VERSION) {
      throw new EncryptionError("not-decodable", `The form is not version ${VERSION} of $enc; use a newer release.`);
    }
    let known = await this.#known();
    if (!known.has(form.k) && this.#fetch !== undefined && Date.now() >= this.#fetchedMs + FETCH_PAUSE_MS) {
      this.#keys = undefined;
      known = await this.#known();
    }
    const cipher = known.get(form.k);
    if (cipher === undefined) {
      const have = [...known.keys()].map((id) => `'${id}'`).join(", ");
      throw new EncryptionError(
        "unknown-key",
        `The ${place.part} of ${place.stepId ?? `an event of ${place.runId}`} is encrypted with key '${form.k}', and this program has ${have}. Give it that key as well, after the one that it writes with.`,
        form.k,
      );
    }
    return cipher.opened(form, place);
  }

  #known(): Promise<Map<string, Cipher>> {
    this.#keys ??= this.#fetched();
    return this.#keys;
  }

  async #fetched(): Promise<Map<string, Cipher>> {
    this.#fetchedMs = Date.now();
    try {
      return checked(await Promise.resolve().then(() => this.#fetch?.() ?? []));
    } catch (error) {
      // The next value asks again.
      this.#keys = undefined;
      throw error;
    }
  }
}

/** One key, as those that HKDF derives from it: of the cipher, and of the nonces. */
export class Cipher {
  readonly #id: string;
  readonly #derived: Promise<[CryptoKey, CryptoKey]>;

  constructor(id: string, key: Bytes) {
    this.#id = id;
    this.#derived = derived(key);
    // It is awaited when a value is encrypted.
    this.#derived.catch(() => undefined);
  }

  /** A value for its place, as canonical JSON. Equal values of one place are encrypted equally. */
  async sealed(json: string, at: Place): Promise<Sealed> {
    const [cipher] = await this.#derived;
    const plain = utf8.encode(json);
    const place = this.#place(at);
    const nonce = await this.#nonce(plain, place);
    const bytes = await crypto.subtle.encrypt({ name: "AES-GCM", iv: nonce, additionalData: place }, cipher, plain);
    return { $enc: { v: VERSION, k: this.#id, n: base64(nonce), c: base64(new Uint8Array(bytes)) } };
  }

  /** The JSON of a value. Throws EncryptionError. */
  async opened(form: Sealed["$enc"], at: Place): Promise<string> {
    const [cipher] = await this.#derived;
    const place = this.#place(at);
    const nonce = bytesOf(form.n);
    const sealed = bytesOf(form.c);
    if (nonce?.length !== NONCE_BYTES || sealed === undefined) {
      throw this.#refused();
    }
    let plain: Bytes;
    try {
      const parameters = { name: "AES-GCM", iv: nonce, additionalData: place };
      plain = new Uint8Array(await crypto.subtle.decrypt(parameters, cipher, sealed));
    } catch {
      throw this.#refused();
    }
    // Only this nonce belongs to the value, so there is one ciphertext and no other.
    if (base64(await this.#nonce(plain, place)) !== form.n) {
      throw this.#refused();
    }
    return text.decode(plain);
  }

  async #nonce(plain: Bytes, place: Bytes): Promise<Bytes> {
    const [, key] = await this.#derived;
    const framed = new Uint8Array(8 + place.length + plain.length);
    new DataView(framed.buffer).setBigUint64(0, BigInt(place.length));
    framed.set(place, 8);
    framed.set(plain, 8 + place.length);
    return new Uint8Array(await crypto.subtle.sign("HMAC", key, framed)).slice(0, NONCE_BYTES);
  }

  /** The place, as the cipher authenticates it. */
  #place({ runId, stepId, kind, part }: Place): Bytes {
    return utf8.encode(JSON.stringify(["$enc", VERSION, this.#id, runId, stepId, kind, part]));
  }

  #refused(): EncryptionError {
    const why = `was changed, or encrypted for another place or with another key named '${this.#id}'`;
    return new EncryptionError("not-decodable", `A value cannot be decrypted: it ${why}.`);
  }
}

async function derived(key: Bytes): Promise<[CryptoKey, CryptoKey]> {
  const given = await crypto.subtle.importKey("raw", key, "HKDF", false, ["deriveKey"]);
  const from = (purpose: string): HkdfParams => ({
    name: "HKDF",
    hash: "SHA-256",
    salt: new Uint8Array(),
    info: utf8.encode(`atomic encryption 1: ${purpose}`),
  });
  const aes = { name: "AES-GCM", length: 8 * KEY_BYTES };
  const hmac = { name: "HMAC", hash: "SHA-256", length: 8 * KEY_BYTES };
  return Promise.all([
    crypto.subtle.deriveKey(from("cipher"), given, aes, false, ["encrypt", "decrypt"]),
    crypto.subtle.deriveKey(from("nonce"), given, hmac, false, ["sign"]),
  ]);
}

/** The keys in their order. Throws TypeError; no message shows a key. */
function checked(keys: readonly EncryptionKey[]): Map<string, Cipher> {
  const known = new Map<string, Cipher>();
  for (const { id, key } of keys) {
    if (!/^[\w.:/-]{1,128}$/.test(id) || known.has(id)) {
      throw new TypeError(`key id '${id}': use 1 to 128 ASCII letters, digits and . _ : / -, and each id once`);
    }
    const bytes = typeof key === "string" ? bytesOf(key) : new Uint8Array(key);
    if (bytes?.length !== KEY_BYTES) {
      throw new TypeError(`key '${id}': give ${KEY_BYTES} random bytes, or their base64`);
    }
    known.set(id, new Cipher(id, bytes));
  }
  if (known.size === 0) {
    throw new TypeError("keys: give at least one; the first one encrypts");
  }
  return known;
}

function base64(bytes: Bytes): string {
  let characters = "";
  for (let at = 0; at < bytes.length; at += CHUNK) {
    characters += String.fromCharCode(...bytes.subarray(at, at + CHUNK));
  }
  return btoa(characters);
}

/** The bytes of a base64 text; undefined for a text that `base64` does not write. */
function bytesOf(given: string): Bytes | undefined {
  try {
    const bytes = Uint8Array.from(atob(given), (character) => character.charCodeAt(0));
    return base64(bytes) === given ? bytes : undefined;
  } catch {
    return undefined;
  }
}
