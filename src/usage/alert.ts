// An alert: an actor has used so much of a limit that somebody wants to know.

/** A limit and how much of it is used. */
export interface ReachedLimit {
  readonly feature: string;
  /** `requests`, `tokens` or `microdollars`. */
  readonly unit: string;
  readonly limit: number;
  readonly used: number;
  /** Length of the window. */
  readonly windowMs: number;
  /** When the open window ends. */
  readonly resetAt: Date;
  /** Patterns of the models that it is for; undefined: all. */
  readonly models: readonly string[] | undefined;
}

export interface Alert {
  /** The same in every delivery of the alert, and another one for each. */
  readonly id: string;
  readonly at: Date;
  readonly actor: { readonly source: string; readonly id: string; readonly name: string };
  readonly reached: ReachedLimit;
  /** How much is used, whole percents, at most 100. */
  readonly percent: number;
  /** The threshold that was passed, in percents. */
  readonly threshold: number;
  /** Sent by an operator who wanted to see whether it arrives. */
  readonly test: boolean;
}

/** Takes alerts to people. One file in `usage/channels` each. */
export interface AlertChannel {
  /** What logs, metrics and operators call it: a kind and perhaps a host, nothing secret. */
  readonly name: string;
  /** Stable while the configuration says the same: by it processes agree who alerts. */
  readonly key: string;
  /**
   * Resolves once it was delivered. Throws `AlertRefusedError` where it never will be, and whatever else where another attempt
   * is worth it. Needs a time limit of its own.
   */
  send(alert: Alert): Promise<void>;
  close(): Promise<void>;
}

/** A channel, and what is told there. */
export interface AlertRule {
  readonly channel: AlertChannel;
  /** Percents. */
  readonly thresholds: readonly number[];
  /** Of whose actors. */
  readonly sources: readonly string[];
}

/** Another attempt would be answered the same. */
export class AlertRefusedError extends Error {
  override readonly name = "AlertRefusedError";
}

/** A threshold that somebody is to tell of. */
export interface Claim {
  /** The limit, and the channel to be told. */
  readonly key: string;
  readonly threshold: number;
  /** When the window ends, and nobody is to be told of it any more. */
  readonly until: Date;
}

/**
 * Which thresholds were told of, for all processes: `test/contract/alert-claims.ts` is what each must do. Throws what it likes
 * when it cannot be asked.
 */
export interface AlertClaims {
  /**
   * `told`: it was told of, or a higher one of its key. `yours`: who asks is to tell of it, and nobody else for `leaseMs`. Else
   * somebody is at it, or at a higher one, and may have failed by then. Of any number that ask at once, one is told `yours`.
   */
  claim(claim: Claim, leaseMs: number): Promise<"told" | "yours" | { readonly askAgainAt: Date }>;
  /** It was told of: nobody is to do so again. */
  told(claim: Claim): Promise<void>;
  /** It was not: who asks after `pauseMs` is to do so. */
  release(claim: Claim, pauseMs: number): Promise<void>;
  close(): Promise<void>;
}
