/** The oracle: a program does the same through Atomic as without it, whatever faults occur. */

import { programOf } from "./generator.ts";
import { type Program, shown, smaller } from "./language.ts";
import { differences, type Outcome } from "./outcome.ts";
import { runPlainly, UnsuitableError } from "./plain.ts";
import type { Plant, Player } from "./player.ts";

/** What a program did otherwise through Atomic; nothing if it is as it must be. */
export interface Played {
  readonly program: Program;
  readonly plain: Outcome;
  readonly differences: readonly string[];
}

// How often a program that has failed is run to make it smaller.
const SHRINKS_MAX = 40;

/** Run the program of a seed both ways; undefined if it is unsuitable. */
export async function check(player: Player, seed: number, plant?: Plant): Promise<Played | undefined> {
  return play(player, programOf(seed), seed, plant);
}

/** Run a program both ways; undefined if it is unsuitable. */
export async function play(player: Player, program: Program, seed: number, plant?: Plant): Promise<Played | undefined> {
  try {
    const plain = await runPlainly(program);
    return { program, plain, differences: differences(plain, await player.play(program, seed, plain, plant)) };
  } catch (error) {
    if (error instanceof UnsuitableError) {
      return undefined;
    }
    throw error;
  }
}

/** The program of a failed seed, made as small as possible. */
export async function smallest(player: Player, failed: Played, seed: number): Promise<Played> {
  let least = failed;
  let left = SHRINKS_MAX;
  for (let candidates = smaller(least.program); left > 0; left--) {
    const { value, done } = candidates.next();
    if (done) {
      break;
    }
    const again = await play(player, value, seed).catch(() => undefined);
    if (again !== undefined && again.differences.length > 0) {
      least = again;
      candidates = smaller(least.program);
    }
  }
  return least;
}

/** All about a failure, as a text. */
export function report(seed: number, { program, plain, differences }: Played): string {
  return [`seed ${seed}`, ...differences, shown(program), `without Atomic: ${plain.end}`].join("\n");
}
