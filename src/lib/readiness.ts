/** Whether the process can serve, as several conditions say. */
export interface Readiness {
  ready(): boolean;
  /** The conditions that do not hold. */
  missing(): readonly string[];
  /** Says whether a condition holds; a condition nobody spoke of holds. */
  set(condition: string, holds: boolean): void;
  /** Calls `listener` after every change, until the returned function is called. */
  onChange(listener: () => void): () => void;
}

export function createReadiness(): Readiness {
  const missing = new Set<string>();
  const listeners = new Set<() => void>();
  return {
    ready: () => missing.size === 0,
    missing: () => [...missing],
    set(condition, holds) {
      const before = missing.size;
      if (holds) missing.delete(condition);
      else missing.add(condition);
      if (missing.size !== before) for (const listener of listeners) listener();
    },
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
