/** The vectors that Python and TypeScript both run. */

import { readFileSync } from "node:fs";
import type { Place, Sealed } from "../src/ciphers.ts";

export interface CanonicalVectors {
  values: { json: string; canonical: string; fingerprint: string }[];
  malformed: string[];
}

export interface IdentityVectors {
  runs: {
    clientId: string;
    workflowName: string;
    idempotencyKey: string;
    runId: string;
    steps: { parent: string; called: string; stepName: string; idempotencyKey: string; id: string }[];
  }[];
  positions: { runKey: string; path: string[]; key: string | null; number: number; stepKey: string }[];
}

export interface SignatureVectors {
  secrets: string[];
  publicKeys: string[];
  calls: { headers: Record<string, string>; body: string }[];
}

export interface EncryptionVectors {
  keys: Record<string, string>;
  values: { where: Place; json: string; encrypted: Sealed }[];
  refused: { what: string; where: Place; encrypted: Sealed }[];
}

/** Read one of the files in `tests/vectors` of the repository. */
export function vectors<Vectors>(name: string): Vectors {
  const file = new URL(`../../tests/vectors/${name}.json`, import.meta.url);
  return JSON.parse(readFileSync(file, "utf8")) as Vectors;
}
