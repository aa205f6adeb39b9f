// How a source fares with its back end, by what came of asking it from this process.

import { describeFailure } from "./failure.js";

/** `unknown`: not asked yet. `paused`: it is not asked for a while, to let it recover. */
export interface SourceHealth {
  readonly state: "unknown" | "available" | "failing" | "paused";
  /** What last went wrong, in words without secrets; absent after a success. */
  readonly error?: string;
  /** ms since the epoch. */
  readonly lastSuccessAt?: number;
}

export interface SourceWatch {
  /** `at`: when, ms since the epoch, where it was not now. */
  succeeded(at?: number): void;
  failed(error: unknown): void;
  /** Whether it is left alone now. */
  isPaused(): boolean;
  /** Whether a call may be made now, which then is. When a pause is over, it is one: what comes of it decides. */
  mayAsk(): boolean;
  health(): SourceHealth;
}

/** Failures in a row after which it is left alone. */
const inARow = 5;
/** First pause, doubled for each one after it, and the longest. */
const pauseMs = 1_000;
const maxPauseMs = 10_000;
const leastJitter = 0.75;
const mostJitter = 1.25;

/** `now` in ms since the epoch. */
export function createSourceWatch(now: () => number): SourceWatch {
  let failures = 0;
  let error: string | undefined;
  let lastSuccessAt: number | undefined;
  let pauses = 0;
  let pausedUntil = 0;
  /** Whether the call is under way that decides what comes after a pause. */
  let trying = false;

  /** A clock that is set back makes no pause longer. */
  function isPaused(): boolean {
    const leftMs = pausedUntil - now();
    return leftMs > 0 && leftMs <= maxPauseMs * mostJitter;
  }

  function pause(): void {
    // Not all processes at once.
    const jitter = leastJitter + (mostJitter - leastJitter) * Math.random();
    const ms = Math.min(pauseMs * 2 ** pauses, maxPauseMs) * jitter;
    pauses++;
    pausedUntil = now() + ms;
    trying = false;
  }

  function state(): SourceHealth["state"] {
    if (failures === 0) return lastSuccessAt === undefined ? "unknown" : "available";
    return isPaused() ? "paused" : "failing";
  }

  return {
    succeeded(at = now()) {
      failures = 0;
      pauses = 0;
      pausedUntil = 0;
      trying = false;
      error = undefined;
      lastSuccessAt = at;
    },
    failed(cause) {
      failures++;
      error = describeFailure(cause);
      // Calls that were made before a pause say nothing new.
      if (failures >= inARow && (!isPaused() || trying)) pause();
    },
    isPaused,
    mayAsk() {
      if (failures < inARow) return true;
      if (isPaused()) return false;
      // Others wait until it is known what came of this one, or until that takes too long.
      trying = true;
      pausedUntil = now() + maxPauseMs;
      return true;
    },
    health: () => ({
      state: state(),
      ...(error !== undefined && { error }),
      ...(lastSuccessAt !== undefined && { lastSuccessAt }),
    }),
  };
}
