/** For programs that are at work on events of workflows: results by id, messages in a row, heartbeats. */

import { type EventAddress, type EventOutcome, eventMembers } from "./client.ts";
import type { StepOutcome } from "./documents.ts";
import { Connection, type ConnectionOptions, documentOf } from "./http.ts";
import { writeJson } from "./json.ts";

/**
 * What else than `signal` and `reject` of a client can be done to events. Every method rejects with an `AtomicError`:
 * `not-an-open-event` when nobody needs the result any more, so the work for it should stop.
 */
export class EventClient {
  readonly #connection: Connection;

  /** Options that are left out come from the environment, as those of `Atomic`. */
  constructor(options: ConnectionOptions = {}) {
    this.#connection = new Connection(options);
  }

  /** Give an event its result by its id, which `openEvent` gave. The same call may be repeated. */
  complete(eventId: string, result: unknown = null): Promise<StepOutcome> {
    const path = this.#connection.path("steps", eventId, "result");
    return documentOf(this.#connection, { method: "POST", path, body: writeJson(result, "the result") });
  }

  /**
   * Give the first event of this name that has no result this one, instead of a certain `number`: the workflow takes
   * such messages in the order in which they arrive, however early. A second message with the same `id` changes nothing.
   */
  send(
    event: EventAddress,
    message: unknown,
    { id = crypto.randomUUID() }: { readonly id?: string } = {},
  ): Promise<EventOutcome> {
    const members = JSON.stringify({ ...eventMembers(event), next: true, id }).slice(0, -1);
    return this.#posted(`${members},"result":${writeJson(message, "the message")}}`);
  }

  /** Say that somebody is at work on an open event, so that it does not expire: by its name, or by its id. */
  async heartbeat(event: EventAddress | string): Promise<void> {
    await (typeof event === "string"
      ? documentOf(this.#connection, { method: "POST", path: this.#connection.path("steps", event, "heartbeat") })
      : this.#posted(JSON.stringify({ ...eventMembers(event), heartbeat: true })));
  }

  #posted(body: string): Promise<EventOutcome> {
    return documentOf(this.#connection, { method: "POST", path: this.#connection.path("events"), body });
  }
}
