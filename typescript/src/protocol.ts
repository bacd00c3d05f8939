/** What the server computes as well, for endpoints on plain HTTP: signatures, ids, canonical JSON. */

export { canonicalJson } from "./canonical.ts";
export { type Identity, type Position, runId, sha256, stepId, stepKey } from "./identity.ts";
export { SignatureRefusedError, type SignedCall, type Verifier, verifier, verify } from "./signatures.ts";
