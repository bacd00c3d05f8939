/** Calls that are signed as the server signs them. */

import { createHmac } from "node:crypto";

const BYTES: Buffer = Buffer.alloc(24, 7);
export const SECRET: string = `whsec_${BYTES.toString("base64")}`;
export const ENVELOPE: Readonly<Record<string, unknown>> = {
  runId: "run_1",
  stepId: "run_1-root",
  workflowName: "greet",
  idempotencyKey: "k",
  attempt: 1,
  payload: { name: "ada" },
};

/** The headers of a call of `url` with this body. */
export function signatureOf(url: string, body: string): Record<string, string> {
  const hmac = (text: string): string => `v1,${createHmac("sha256", BYTES).update(text).digest("base64")}`;
  const timestamp = `${Math.floor(Date.now() / 1000)}`;
  const signature = hmac(`id.${timestamp}.${body}`);
  return {
    "webhook-id": "id",
    "webhook-timestamp": timestamp,
    "webhook-signature": signature,
    "atomic-url": url,
    "atomic-signature": hmac(`POST ${url} ${signature}`),
  };
}
