import type { Log } from "../lib/log.js";

/** How long a drain may take. */
export interface DrainOptions {
  /** How long connections are still accepted, while readiness says no. */
  readonly delayMs: number;
  /** How long what runs may finish after that. */
  readonly timeoutMs: number;
}

/** What a drain does to a server, step by step. */
export interface DrainSteps {
  /** Stop listening and let connections end with what they are doing. */
  stop(): void;
  /** Close connections that are done; tells how many are left. */
  settle(): number;
  /** Tell what still runs to wind up. */
  hardStop(): void;
  /** End everything, without asking. */
  destroy(): void;
}

/** Leaving in order. */
export interface Drain {
  readonly begun: boolean;
  /** `clean`: everything finished. `cut`: something ran into the deadline. A later call can only shorten. Never rejects. */
  run(options: DrainOptions): Promise<"clean" | "cut">;
}

/** The order of leaving: not ready, then no more connections, then a deadline, a hard stop, and the end. */
export function createDrain(
  parts: { steps: DrainSteps; log: Log },
  limits: { readonly graceMs: number },
  everyMs = 50,
): Drain {
  let stopAt = Number.POSITIVE_INFINITY;
  let cutAt = Number.POSITIVE_INFINITY;
  let destroyAt = Number.POSITIVE_INFINITY;
  let stage: "accepting" | "finishing" | "stopping" = "accepting";
  let outcome: Promise<"clean" | "cut"> | undefined;

  /** One step on; the outcome once there is one. */
  function step(now: number): "clean" | "cut" | undefined {
    const { steps } = parts;
    if (stage === "accepting") {
      if (now < stopAt) return undefined;
      stage = "finishing";
      steps.stop();
    }
    if (steps.settle() === 0) return stage === "finishing" ? "clean" : "cut";
    if (stage === "finishing" && now >= cutAt) {
      stage = "stopping";
      destroyAt = now + limits.graceMs;
      steps.hardStop();
    }
    if (now < destroyAt) return undefined;
    steps.destroy();
    return "cut";
  }

  return {
    get begun() {
      return outcome !== undefined;
    },

    run({ delayMs, timeoutMs }) {
      const now = performance.now();
      stopAt = Math.min(stopAt, now + delayMs);
      cutAt = Math.min(cutAt, now + delayMs + timeoutMs);
      outcome ??= new Promise((resolve) => {
        const timer = setInterval(() => {
          let result: "clean" | "cut" | undefined;
          try {
            result = step(performance.now());
          } catch (error) {
            parts.log.error({ err: error }, "drain step failed");
            parts.steps.destroy();
            result = "cut";
          }
          if (result === undefined) return;
          clearInterval(timer);
          resolve(result);
        }, everyMs);
      });
      return outcome;
    },
  };
}
