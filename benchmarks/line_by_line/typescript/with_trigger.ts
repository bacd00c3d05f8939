import { batch, task } from "@trigger.dev/sdk";
import { insert, send, track } from "./effects.ts";

const retry = { maxAttempts: 11 };
export const inserted = task({ id: "insert", retry, run: insert });
export const sent = task({ id: "send", retry, run: send });
export const tracked = task({ id: "track", retry, run: track });

async function run(name: string) {
  const user = await inserted.triggerAndWait(name).unwrap();
  const sending = { task: sent, payload: user };
  const tracking = { task: tracked, payload: user };
  const { runs } = await batch.triggerByTaskAndWait([sending, tracking]);
  return { user, mail: runs[0].ok ? runs[0].output : undefined };
}

export const create = task({ id: "create", run });
