/**
 * Random programs through Atomic and without it: `make programs-typescript SEEDS=0..500`. Without SEEDS, a few of them.
 */

import { afterAll, beforeAll, describe, expect, inject, it, vi } from "vitest";
import { type DevServer, startDevServer } from "../src/testing.ts";
import { check, play, report, smallest } from "./programs/oracle.ts";
import { type Plant, Player } from "./programs/player.ts";
import { REGRESSIONS } from "./programs/regressions.ts";

const [FIRST = 0, LAST = 0] = (process.env.SEEDS ?? "0..6").split("..").map(Number);
// Programs at a time. Each has a server of its own, whose time moves when nothing of its program is under way.
const WORKERS = 3;
// It takes up to a second of real time, and shows nothing that others do not show.
const WITHOUT = { slow: 0 };
const PLANT_SEEDS = 40;

const servers: DevServer[] = [];
const players: Player[] = [];

beforeAll(async () => {
  // Programs fail on purpose.
  vi.spyOn(console, "error").mockReturnValue(undefined);
  const options = { command: inject("atomicCommand"), virtualTime: true, faults: "hostile", seed: 1 } as const;
  for (let number = 0; number < WORKERS; number++) {
    const server = await startDevServer(options);
    servers.push(server);
    const { probabilities } = await server.faults();
    await server.faults({ ...probabilities, ...WITHOUT });
    await server.auto();
    const player = new Player(server.url);
    await player.open();
    players.push(player);
  }
}, 60_000);

afterAll(async () => {
  await Promise.all(players.map((player) => player.close()));
  await Promise.all(servers.map((server) => server.close()));
});

/** Do something for each seed, with several at a time. Returns the first seed at which `work` gave true. */
async function each(
  first: number,
  last: number,
  work: (player: Player, seed: number) => Promise<boolean>,
): Promise<number | undefined> {
  let next = first;
  let found: number | undefined;
  const worker = async (player: Player): Promise<void> => {
    while (next < last && found === undefined) {
      const seed = next++;
      if (await work(player, seed)) {
        found ??= seed;
      }
    }
  };
  await Promise.all(players.map(worker));
  return found;
}

describe("a program", () => {
  it.each(REGRESSIONS)("does as it did wrong before: $why", async ({ program }) => {
    const played = await play(players[0] as Player, program, 0);
    expect(played?.differences).toEqual([]);
  });

  it("does the same through Atomic as without it", { timeout: 3_600_000 }, async () => {
    const failed: string[] = [];
    let count = 0;
    let effects = 0;
    await each(FIRST, LAST, async (player, seed) => {
      const played = await check(player, seed);
      if (played !== undefined && played.differences.length > 0) {
        failed.push(report(seed, await smallest(player, played, seed)));
        console.warn(failed.at(-1));
      }
      count += played === undefined ? 0 : 1;
      effects += Object.values(played?.plain.effects ?? {}).reduce((sum, number) => sum + number, 0);
      return false;
    });
    const made: Record<string, number> = {};
    for (const server of servers) {
      for (const [fault, number] of Object.entries((await server.faults()).made)) {
        made[fault] = (made[fault] ?? 0) + number;
      }
    }
    console.info(`seeds ${FIRST}..${LAST}: ${count} programs, ${effects} effects, faults: ${JSON.stringify(made)}`);
    expect(failed).toEqual([]);
    expect(count).toBeGreaterThan((LAST - FIRST) / 2);
  });
});

/** The context of a workflow, with some of its methods replaced. */
function instead(methods: (context: Methods) => Methods): Plant {
  return (context) =>
    new Proxy(context, {
      get: (target, name) => {
        const own = target as unknown as Methods;
        const found = methods(own)[name as string] ?? own[name as string];
        return typeof found === "function" ? found.bind(target) : found;
      },
    });
}

// biome-ignore lint/suspicious/noExplicitAny: methods of any kind are replaced
type Methods = Record<string, any>;

describe("a planted fault is found", () => {
  const faults: Record<string, Plant> = {
    "values are computed in each attempt": instead(() => ({
      run: async (_: string, compute: () => unknown) => compute(),
    })),
    "keys of steps differ between attempts": instead(({ step }) => ({
      step(this: Methods, called: unknown, payload: unknown, options: object) {
        // One of two: with a new one in each attempt, a run would never end.
        return step.call(this, called, payload, {
          ...options,
          key: `${JSON.stringify(payload)} ${Math.random() < 0.5}`,
        });
      },
    })),
    "a second call of a step gives the result of the first": (context) => {
      const first = new Map<unknown, unknown>();
      return instead(({ step }) => ({
        step(this: Methods, called: unknown, ...rest: unknown[]) {
          first.set(called, first.get(called) ?? step.call(this, called, ...rest));
          return first.get(called);
        },
      }))(context);
    },
    "sleeps are skipped": instead(() => ({ sleep: async () => undefined })),
    "sagas undo nothing": instead(({ step }) => ({
      saga(this: Methods, work: (saga: unknown) => unknown) {
        return work({ step: (called: unknown, payload: unknown) => step.call(this, called, payload) });
      },
    })),
  };

  it.each(Object.entries(faults))("%s", { timeout: 120_000 }, async (_, plant) => {
    const found = await each(0, PLANT_SEEDS, async (player, seed) => {
      const played = await check(player, seed, plant);
      const differences = played?.differences ?? [];
      // A run that does not end in its few seconds says nothing: the machine may be busy.
      return differences.length > 0 && !differences.some((each) => each.includes("stuck"));
    });
    console.info(`found by seed ${found}`);
    expect(found).toBeDefined();
  });
});
