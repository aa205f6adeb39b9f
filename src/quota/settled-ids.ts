/** The ids of settled holds, for as long as a repeated reservation must be known as one. */
export interface SettledIds {
  has(actor: string, id: string, now: number): boolean;
  add(actor: string, id: string, now: number): void;
  /** All that is remembered, as `restore` takes it. */
  generations(): Generations;
  restore(generations: Generations): void;
}

/** Settled ids and whose they are: those added last, and those before them. */
export interface Generations {
  readonly young: readonly (readonly [id: string, actor: string])[];
  readonly old: readonly (readonly [id: string, actor: string])[];
  /** ms since the epoch; -Infinity: nothing was added yet. */
  readonly youngSince: number;
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
    generations: () => ({ young: pairs(young), old: pairs(old), youngSince }),
    restore(from) {
      young = new Map();
      old = new Map();
      for (const [id, actor] of from.young) put(young, id, actor);
      for (const [id, actor] of from.old) put(old, id, actor);
      added = from.young.length;
      youngSince = from.youngSince;
    },
  };
}

function put(generation: Generation, id: string, actor: string): void {
  const known = generation.get(id);
  if (known instanceof Set) known.add(actor);
  else generation.set(id, known === undefined || known === actor ? actor : new Set([known, actor]));
}

function pairs(generation: Generation): [id: string, actor: string][] {
  return [...generation].flatMap(([id, known]) =>
    known instanceof Set ? [...known].map((actor): [string, string] => [id, actor]) : [[id, known] as [string, string]],
  );
}

function isOf(known: string | Set<string> | undefined, actor: string): boolean {
  return known instanceof Set ? known.has(actor) : known === actor;
}
