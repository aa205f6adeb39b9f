/** Which models of one upstream are not asked for now, because it fails for them. */
export interface Breakers {
  /**
   * How long a model is not to be asked for, ms; 0: it may be. While a model is unavailable, one request is let through now
   * and then to find out whether it still is.
   */
  waitMs(model: string): number;
  /** The upstream answered for the model. */
  succeeded(model: string): void;
  /** It failed; `restMs`: it said itself for how long it will. */
  failed(model: string, restMs?: number): void;
  /** How many models are unavailable. */
  open(): number;
}

export interface BreakerOptions {
  /** So many failures in a row, with no more than `memoryMs` between two and over `spanMs` or more, and it opens. */
  readonly inARow?: number;
  readonly memoryMs?: number;
  readonly spanMs?: number;
  /** Time without a request while open, then one is let through. */
  readonly openMs?: number;
  /** Longest rest that an upstream can ask for. */
  readonly maxRestMs?: number;
}

/** Most models of one upstream of which failures are remembered: callers can make up names. */
const maxModels = 500;

interface State {
  failures: number;
  /** When the row began, and its last failure. */
  since: number;
  at: number;
  /** When the next request is let through; 0: it is closed. */
  nextMs: number;
}

/** `monotonic` in ms, never goes back. `onChange` is told of models that become unavailable, and available again. */
export function createBreakers(
  parts: { readonly monotonic: () => number; readonly onChange: (model: string, open: boolean) => void },
  options: BreakerOptions = {},
): Breakers {
  const { monotonic, onChange } = parts;
  // A row that is over in a moment is one event: a balancer that restarts resets everything that is under way.
  const { inARow = 10, memoryMs = 60_000, spanMs = 1_000, openMs = 5_000, maxRestMs = 60_000 } = options;
  // Of models that fail or did so lately; in the order of their last failures. Others cost nothing.
  const states = new Map<string, State>();
  let open = 0;

  function forget(model: string, state: State): void {
    states.delete(model);
    if (state.nextMs === 0) return;
    open--;
    onChange(model, false);
  }

  function stateOf(model: string, nowMs: number): State {
    const known = states.get(model);
    if (known) states.delete(model);
    const state = known ?? { failures: 0, since: nowMs, at: nowMs, nextMs: 0 };
    const [oldest] = states;
    if (oldest && states.size >= maxModels) forget(...oldest);
    states.set(model, state);
    return state;
  }

  return {
    waitMs(model) {
      const state = states.get(model);
      if (state === undefined || state.nextMs === 0) return 0;
      const nowMs = monotonic();
      if (nowMs < state.nextMs) return state.nextMs - nowMs;
      // Whatever becomes of the one that is let through, another one follows.
      state.nextMs = nowMs + openMs;
      return 0;
    },
    succeeded(model) {
      if (states.size === 0) return;
      const state = states.get(model);
      if (state) forget(model, state);
    },
    failed(model, restMs = 0) {
      const nowMs = monotonic();
      const state = stateOf(model, nowMs);
      const nextMs = nowMs + Math.max(openMs, Math.min(restMs, maxRestMs));
      if (state.nextMs > 0) {
        state.nextMs = Math.max(state.nextMs, nextMs);
        return;
      }
      if (nowMs - state.at > memoryMs) {
        state.failures = 0;
        state.since = nowMs;
      }
      state.failures++;
      state.at = nowMs;
      if (state.failures < inARow || nowMs - state.since < spanMs) return;
      state.nextMs = nextMs;
      open++;
      onChange(model, true);
    },
    open: () => open,
  };
}
