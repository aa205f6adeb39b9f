// The keys of one upstream: used in turn, and left out for a while where the upstream does not take them.

/** One key. */
export interface UpstreamKey {
  /** What operators know it by: its reference in the configuration, never the key itself. */
  readonly name: string;
  readonly value: string;
  /** Its share among the keys. */
  readonly weight: number;
}

export interface KeyRing {
  /** The key for the next request for a model, each as often as its weight says; undefined: there are none. */
  take(model: string): UpstreamKey | undefined;
  /** Whether another key could be used for the model now. */
  hasOther(key: UpstreamKey | undefined, model: string): boolean;
  /** Leaves a key out until then (by the ring's clock), for one model or for all; false: it was left out already. */
  rest(key: UpstreamKey, untilMs: number, model?: string): boolean;
  /** The upstream took the key: it is left out no longer. */
  taken(key: UpstreamKey | undefined): void;
  /** Puts these keys in place of the others. What is known of those that stay is kept. False: they are the same. */
  replace(keys: readonly UpstreamKey[]): boolean;
  /** How many are left out for all models. */
  resting(): number;
}

/** Most models for which one key is left out at a time: callers can make up names. */
const maxModels = 100;

interface Turn extends UpstreamKey {
  current: number;
  /** Until when it is left out, for all models; 0: it is not. */
  untilMs: number;
  readonly models: Map<string, number>;
}

/** Where all keys are left out, the one whose turn comes first again is used: a request is never refused for want of one. */
export function createKeyRing(keys: readonly UpstreamKey[], monotonic: () => number): KeyRing {
  let turns = keys.map(turnOf);

  const untilOf = (turn: Turn, model: string): number => Math.max(turn.untilMs, turn.models.get(model) ?? 0);
  const find = (key: UpstreamKey | undefined): Turn | undefined =>
    key && turns.find(({ value }) => value === key.value);

  return {
    take(model) {
      if (turns.length < 2) return turns[0];
      const nowMs = monotonic();
      return (
        nextOf(turns, (turn) => untilOf(turn, model) <= nowMs) ??
        turns.reduce((first, turn) => (untilOf(turn, model) < untilOf(first, model) ? turn : first))
      );
    },
    hasOther(key, model) {
      const nowMs = monotonic();
      return turns.some((turn) => turn.value !== key?.value && untilOf(turn, model) <= nowMs);
    },
    rest(key, untilMs, model) {
      const turn = find(key);
      if (!turn) return false;
      const nowMs = monotonic();
      const before = model === undefined ? turn.untilMs : (turn.models.get(model) ?? 0);
      if (model === undefined) turn.untilMs = Math.max(before, untilMs);
      else restFor(turn, model, Math.max(before, untilMs), nowMs);
      return before <= nowMs;
    },
    taken(key) {
      const turn = key && (key as Turn).untilMs > 0 ? find(key) : undefined;
      if (turn) turn.untilMs = 0;
    },
    replace(next) {
      const same = ({ value, weight }: UpstreamKey, at: number): boolean =>
        value === turns[at]?.value && weight === turns[at]?.weight;
      if (next.length === turns.length && next.every(same)) return false;
      turns = next.map((key) => {
        const known = find(key);
        return known ? { ...known, ...key } : turnOf(key);
      });
      return true;
    },
    resting() {
      const nowMs = monotonic();
      return turns.filter(({ untilMs }) => untilMs > nowMs).length;
    },
  };
}

function turnOf(key: UpstreamKey): Turn {
  return { ...key, current: 0, untilMs: 0, models: new Map() };
}

function restFor({ models }: Turn, model: string, untilMs: number, nowMs: number): void {
  if (models.size >= maxModels) {
    for (const [name, until] of models) if (until <= nowMs) models.delete(name);
  }
  if (models.size < maxModels || models.has(model)) models.set(model, untilMs);
}

/** Smooth weighted round robin, as nginx does it: spreads a heavy key's turns instead of bunching them. */
function nextOf(turns: readonly Turn[], isFree: (turn: Turn) => boolean): Turn | undefined {
  let best: Turn | undefined;
  let total = 0;
  for (const turn of turns) {
    if (!isFree(turn)) continue;
    turn.current += turn.weight;
    total += turn.weight;
    if (best === undefined || turn.current > best.current) best = turn;
  }
  if (best) best.current -= total;
  return best;
}
