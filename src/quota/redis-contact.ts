// What scripts are told of how long Redis was away. While it is, nobody can renew a hold: one whose lease ended then is no
// sign of a process that died. Whoever comes back first must not take such holds for abandoned.

import type { Contact } from "../lib/redis-lane.js";
import type { ScriptRunner } from "../lib/redis-scripts.js";

export interface RedisContact {
  /**
   * What a script in the slot is told: until when, in ms by Redis' clock, this process had heard of the server and the slot
   * without a gap; `none`: it is new here, and nothing is known to have gone wrong.
   */
  heard(slot: number): string;
  /** A script in the slot was answered that looked at what was told. */
  answered(slot: number): void;
}

export function createRedisContact({ runner }: { runner: Pick<ScriptRunner, "contact" | "clockOf"> }): RedisContact {
  const answeredAt = new Map<number, number>();

  /** Whether there was a gap since the slot was last looked after. */
  function isBehind(slot: number, { since }: Contact): boolean {
    return since !== undefined && (answeredAt.get(slot) ?? -Infinity) < since;
  }

  return {
    heard(slot) {
      const contact = runner.contact(slot);
      if (contact.lastAt === undefined) return contact.failed ? "0" : "none";
      if (isBehind(slot, contact)) return "0";
      return String(Math.floor(runner.clockOf(slot).now() - (performance.now() - contact.lastAt)));
    },
    answered: (slot) => void answeredAt.set(slot, performance.now()),
  };
}
