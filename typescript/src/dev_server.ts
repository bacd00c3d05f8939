/** A server for development that a test starts, or that of `ATOMIC_URL`: its time, its faults, its end. */

import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Atomic } from "./client.ts";
import type { Context } from "./context.ts";
import { type Running, runServer } from "./dev_process.ts";
import type { RunDocument, Status, StepDocument } from "./documents.ts";
import { type Duration, milliseconds } from "./durations.ts";
import { Endpoints } from "./endpoints.ts";
import { AtomicError } from "./errors.ts";
import { Connection, type ConnectionOptions, read, variable } from "./http.ts";
import { node } from "./node.ts";

/** How often networks and crashes misbehave. */
export type FaultProfile = "calm" | "flaky" | "hostile";

/** How the server is started. */
export interface DevServerOptions {
  /** Time stands still, and moves when the test says so; or at which moment it begins. */
  readonly virtualTime?: boolean | Date;
  readonly faults?: FaultProfile;
  /** The same seed and the same keys make the same faults. */
  readonly seed?: number;
  /** A server for development that runs already (default: `ATOMIC_URL`; without it, one is started). */
  readonly url?: string;
  /** The program `atomic` (default: `ATOMIC_COMMAND`, else `atomic` on the PATH). */
  readonly command?: string;
  /** The client of `client()` and of the endpoints of `serve` (default: `ATOMIC_CLIENT_ID`, else `dev`). */
  readonly clientId?: string;
}

/** What a test waits for. */
export interface UntilOptions {
  /** The states of which one is enough (default: each end). */
  readonly status?: Status | readonly Status[];
  /** The most virtual time that may pass. */
  readonly within?: Duration;
}

/** The faults of the server: which may happen, and which have happened. */
export interface Faults {
  readonly profile: FaultProfile | null;
  readonly seed: number;
  readonly probabilities: Readonly<Record<string, number>>;
  /** How often each has happened since they were chosen. */
  readonly made: Readonly<Record<string, number>>;
}

/** Endpoints that a test serves. */
export interface ServedEndpoints extends AsyncDisposable {
  /** Where they are, for `create.at(url)`. */
  readonly url: string;
  close(): Promise<void>;
}

interface Time {
  readonly virtual: boolean;
  readonly now: string;
  readonly nextDue: string | null;
}

// The server moves its time for a minute of real time at most.
const MOVES_WITHIN_MS = 90_000;

/** A server that a test leads. */
export class DevServer implements AsyncDisposable {
  readonly #connection: Connection;
  readonly #process: Running | undefined;
  readonly #served = new Set<ServedEndpoints>();
  #hasFaults = false;

  /** @internal */
  constructor(connection: Connection, process: Running | undefined) {
    this.#connection = connection;
    this.#process = process;
  }

  get url(): string {
    return this.#connection.url;
  }

  /** A client of this server. */
  client(options: ConnectionOptions = {}): Atomic {
    return new Atomic({ ...this.#options, ...options });
  }

  /** Serve endpoints on a free port until the test ends. Their workflows use this server. */
  async serve(endpoints: Endpoints<Context>): Promise<ServedEndpoints> {
    // A server that was started here does not sign its calls.
    const secrets = this.#process === undefined ? {} : { secrets: [] };
    const own = new Endpoints(
      endpoints.context,
      { ...endpoints.options, atomic: this.#options, baseUrl: "", ...secrets },
      endpoints.handlers,
    );
    const server = createServer(node(own));
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject).listen(0, "127.0.0.1", resolve);
    });
    const close = async (): Promise<void> => {
      this.#served.delete(served);
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    };
    const { port } = server.address() as AddressInfo;
    const served = { url: `http://127.0.0.1:${port}`, close, [Symbol.asyncDispose]: close };
    this.#served.add(served);
    return served;
  }

  /** What time it is at the server. */
  async now(): Promise<Date> {
    return new Date((await this.#time()).now);
  }

  /** When it has to do something next: retry a step, end a sleep, give an event up; undefined if never. */
  async next(): Promise<Date | undefined> {
    const { nextDue } = await this.#time();
    return nextDue === null ? undefined : new Date(nextDue);
  }

  /** Let time pass. What falls due in it has happened when this resolves, to the new time. */
  async advance(duration: Duration): Promise<Date> {
    const to = new Date((await this.now()).getTime() + milliseconds("advance", duration));
    // A moment, and no duration: the request may be sent again when its answer is lost.
    const { now } = await this.#call<Time>("POST", "time/advance", { to: to.toISOString() });
    return new Date(now);
  }

  /** From now on time moves by itself to what is next due, as soon as nothing is under way. */
  async auto(isOn = true): Promise<void> {
    await this.#call("PUT", "time", { auto: isOn });
  }

  /** Let time pass until a run has ended, or has one of the states. */
  until(run: string | { readonly runId: string }, options: UntilOptions = {}): Promise<RunDocument> {
    return this.#until({ runId: typeof run === "string" ? run : run.runId }, options);
  }

  /** Let time pass until a step has ended, or has one of the states. */
  untilStep(stepId: string, options: UntilOptions = {}): Promise<StepDocument> {
    return this.#until({ stepId }, options);
  }

  /** Misbehave from now on: by a profile, or by the probability of each fault. Without it: what there is. */
  faults(wanted?: FaultProfile | Readonly<Record<string, number>>, seed?: number): Promise<Faults> {
    if (wanted === undefined) {
      return this.#call("GET", "faults");
    }
    this.#hasFaults = true;
    const chosen = typeof wanted === "string" ? { profile: wanted } : { probabilities: wanted };
    return this.#call("PUT", "faults", { ...chosen, ...(seed !== undefined && { seed }) });
  }

  /** End the engine as `kill -9` would, and start it on the same store. */
  async crash(): Promise<void> {
    await this.#call("POST", "crash");
  }

  /** Delete all runs; the time and the faults are as at the start. */
  async reset(): Promise<void> {
    await this.#call("POST", "reset");
  }

  /** End what was served and, if it was started here, the server. Resolves when its process has ended. */
  async close(): Promise<void> {
    await Promise.all([...this.#served].map((served) => served.close()));
    if (this.#process === undefined && this.#hasFaults) {
      // Others use this server, too.
      await this.faults("calm");
    }
    await this.#process?.end();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /**
   * Refuse a server that cannot do what the test needs.
   * @internal
   */
  async check({ virtualTime, faults, seed }: DevServerOptions): Promise<void> {
    const { virtual } = await this.#time();
    if (virtualTime && !virtual) {
      throw new AtomicError(
        "time-is-real",
        `${this.url} has real time: start it with \`atomic serve --dev --virtual-time\`.`,
      );
    }
    if (faults !== undefined || seed !== undefined) {
      await this.faults(faults ?? "calm", seed);
    }
  }

  get #options(): ConnectionOptions {
    return { url: this.url, clientId: this.#connection.clientId };
  }

  async #time(): Promise<Time> {
    return this.#call("GET", "time");
  }

  #until<Document>(target: Record<string, string>, { status, within }: UntilOptions): Promise<Document> {
    return this.#call("POST", "time/until", {
      ...target,
      ...(status !== undefined && { status: [status].flat() }),
      ...(within !== undefined && { max: milliseconds("within", within) }),
    });
  }

  async #call<Document>(method: "GET" | "POST" | "PUT", name: string, document?: unknown): Promise<Document> {
    const body = document === undefined ? {} : { body: JSON.stringify(document) };
    const request = { method, path: `/_dev/${name}`, ...body, waitMs: MOVES_WITHIN_MS };
    const answer = await this.#connection.exchange(request);
    if (answer.status === 404 && name === "time") {
      throw new AtomicError(
        "not-found",
        `${this.url} is no server for development: start it by \`atomic serve --dev\`.`,
      );
    }
    return answer.status === 204 ? (undefined as Document) : read<Document>(this.#connection, answer);
  }
}

/**
 * Start a server of its own process for tests, with an empty data directory, or use the one of `ATOMIC_URL`. Rejects
 * when there is no `atomic` that could be started, and says what to install.
 */
export async function startDevServer(options: DevServerOptions = {}): Promise<DevServer> {
  const given = options.url ?? variable("ATOMIC_URL");
  const process = given === undefined ? await runServer(options.command, flagsOf(options)) : undefined;
  const clientId = options.clientId === undefined ? {} : { clientId: options.clientId };
  const server = new DevServer(new Connection({ url: process?.url ?? (given as string), ...clientId }), process);
  try {
    await server.check(process === undefined ? options : {});
    return server;
  } catch (error) {
    await server.close();
    throw error;
  }
}

function flagsOf({ virtualTime, faults, seed }: DevServerOptions): string[] {
  const begin = virtualTime instanceof Date ? `=${virtualTime.toISOString()}` : "";
  return [
    ...(virtualTime ? [`--virtual-time${begin}`] : []),
    ...(faults === undefined ? [] : ["--faults", faults]),
    ...(seed === undefined ? [] : ["--faults-seed", `${seed}`]),
  ];
}
