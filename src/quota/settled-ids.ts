/** The ids of settled holds, for as long as a repeated reservation must be known as one. */
export interface SettledIds {
  has(actor: string, id: string, now: number): boolean;
  add(actor: string, id: string, now: number): void;
}

/** Actors by id. An id is an actor's own, but hardly ever two have the same. */
type Generation = Map<string, string | Set<string>>;

/**
 * Remembers ids for `rememberMs` and at most twice that, and of them at least the newest half of `max`. They are dropped a
 * generation at a time: nothing is kept or done for a single one.
 */
export function createSettledIds(rememberMs: number, max: number): SettledIds {
  let young: Generation = new Map();
  let old: Generation = new Map();
  let added = 0;
  let youngSince = -Infinity;

  function turn(now: number): void {
    if (now - youngSince < rememberMs && added < max / 2) return;
    // Long quiet: the young are past their time too.
    old = now - youngSince < 2 * rememberMs ? young : new Map();
    young = new Map();
    added = 0;
    youngSince = now;
  }

  return {
    has(actor, id, now) {
      turn(now);
      return isOf(young.get(id), actor) || isOf(old.get(id), actor);
    },
    add(actor, id, now) {
      turn(now);
      put(young, id, actor);
      added++;
    },
  };
}

function put(generation: Generation, id: string, actor: string): void {
  const known = generation.get(id);
  if (known instanceof Set) known.add(actor);
  else generation.set(id, known === undefined || known === actor ? actor : new Set([known, actor]));
}

function isOf(known: string | Set<string> | undefined, actor: string): boolean {
  return known instanceof Set ? known.has(actor) : known === actor;
}
