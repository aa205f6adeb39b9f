/** The ids of settled holds, for as long as a repeated reservation must be known as one. */
export interface SettledIds {
  has(actor: string, id: string, now: number): boolean;
  add(actor: string, id: string, now: number): void;
}

/**
 * Remembers ids for `rememberMs` and at most twice that, and of them at least the newest half of `max`. They are dropped a
 * generation at a time: nothing is kept or done for a single one. The same id of two actors is known for the later one.
 */
export function createSettledIds(rememberMs: number, max: number): SettledIds {
  let young = new Map<string, string>();
  let old = new Map<string, string>();
  let youngSince = -Infinity;

  function turn(now: number): void {
    if (now - youngSince < rememberMs && young.size < max / 2) return;
    // Long quiet: the young are past their time too.
    old = now - youngSince < 2 * rememberMs ? young : new Map();
    young = new Map();
    youngSince = now;
  }

  return {
    has(actor, id, now) {
      turn(now);
      return young.get(id) === actor || old.get(id) === actor;
    },
    add(actor, id, now) {
      turn(now);
      young.set(id, actor);
    },
  };
}
