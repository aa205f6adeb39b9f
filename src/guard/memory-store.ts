import type { Clock } from "../lib/clock.js";
import type { FlaggedRequest, FlaggedStore } from "./flagged.js";

/** Flagged prompts of one process, forgotten at its end. */
export function createMemoryFlaggedStore({ clock }: { readonly clock: Clock }): FlaggedStore {
  const kept = new Map<string, { readonly request: FlaggedRequest; readonly sealed: string }>();

  function forget(): void {
    for (const [key, { request }] of kept) if (request.expiresAt <= clock.now()) kept.delete(key);
  }

  return {
    async put(request, sealed, most) {
      forget();
      kept.delete(request.key);
      kept.set(request.key, { request, sealed });
      while (kept.size > most) kept.delete(kept.keys().next().value as string);
    },
    async get(key) {
      forget();
      return kept.get(key);
    },
    async list() {
      forget();
      return [...kept.values()].map(({ request }) => request).toReversed();
    },
    close: async () => undefined,
  };
}
