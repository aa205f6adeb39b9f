// Alerts when actors have used most of a limit: once for each threshold and window, whichever process sees it, and never in the
// way of a request.

import { setTimeout as sleep } from "node:timers/promises";
import type { Clock } from "../lib/clock.js";
import { uniqueId } from "../lib/ids.js";
import { within } from "../lib/within.js";
import type { Alert, AlertChannel, AlertClaims, AlertRule, Claim, ReachedLimit } from "./alert.js";
import { createDelivery, type DeliveryOptions, type DeliveryParts } from "./notify-delivery.js";

/** What became of a test alert. */
export interface TestResult {
  readonly channel: string;
  /** Undefined: it was delivered. */
  readonly error: string | undefined;
}

export interface Notifier {
  /** Looks at where limits stand after a request. Never throws, never waits. */
  observed(actor: Alert["actor"], limits: readonly ReachedLimit[]): void;
  /** Sends an alert to every channel, once, and says what became of it. */
  test(): Promise<readonly TestResult[]>;
  /** What waits is left to other processes, or to a later start. */
  close(): Promise<void>;
}

export interface NotifierParts extends DeliveryParts {
  readonly rules: readonly AlertRule[];
  readonly claims: AlertClaims;
  readonly clock: Clock;
}

/** Limits of which is remembered that they were looked at. */
const maxRemembered = 20_000;
/** After the store of claims could not be asked, it is asked again so much later. */
const claimRetryMs = 5_000;
/** How often it is told that an alert was sent, until it takes it. */
const settleTries = 12;
/** How long others wait for an alert whose process may have died: more than one may wait here and take to be sent. */
const leaseMs = 300_000;
/** How long after a failure nobody tries to tell of the same threshold. */
const pauseMs = 60_000;
/** How long the end waits until others may tell of what was not told. */
const closeMs = 1_000;

export interface NotifierOptions extends DeliveryOptions {
  /** Time between attempts to tell the store of claims that an alert was sent. Default 5 s. */
  readonly settleMs?: number;
}

interface Remembered {
  readonly threshold: number;
  readonly until: number;
}

/** Undefined where nobody wants to know anything. */
export function createNotifier(parts: NotifierParts, options: NotifierOptions = {}): Notifier | undefined {
  const { rules, claims, clock, log } = parts;
  const { settleMs = 5_000 } = options;
  if (rules.length === 0) return undefined;
  const delivery = createDelivery(
    parts,
    rules.map(({ channel }) => channel),
    options,
  );
  const remembered = new Map<string, Remembered>();
  const underWay = new Set<Promise<void>>();
  const closing = new AbortController();
  const sources = new Set(rules.flatMap((rule) => rule.sources));
  const lowest = Math.min(...rules.flatMap(({ thresholds }) => thresholds));

  /** What a limit is told of by: another amount of it is another limit. */
  function keyOf(rule: AlertRule, actor: Alert["actor"], { feature, unit, limit, windowMs, models }: ReachedLimit) {
    return JSON.stringify([rule.channel.key, actor.source, actor.id, feature, unit, limit, windowMs, models ?? []]);
  }

  function remember(key: string, threshold: number, until: number): void {
    remembered.delete(key);
    remembered.set(key, { threshold, until });
    if (remembered.size > maxRemembered) remembered.delete(remembered.keys().next().value as string);
  }

  function look(rule: AlertRule, actor: Alert["actor"], reached: ReachedLimit, percent: number): void {
    const passed = rule.thresholds.filter((threshold) => percent >= threshold);
    if (passed.length === 0 || !rule.sources.includes(actor.source)) return;
    const threshold = Math.max(...passed);
    const key = keyOf(rule, actor, reached);
    const known = remembered.get(key);
    const now = clock.now();
    if (known && known.until > now && known.threshold >= threshold) return;
    // Until the store has said who tells of it, nobody here asks again.
    remember(key, threshold, reached.resetAt.getTime());
    const telling = tell(rule.channel, { key, threshold, until: reached.resetAt }, () => ({
      ...alertOf(actor, reached, percent, threshold),
      test: false,
    })).finally(() => underWay.delete(telling));
    underWay.add(telling);
  }

  /** Sees that it is told of by this process or another. Never rejects. */
  async function tell(channel: AlertChannel, claim: Claim, alert: () => Alert): Promise<void> {
    const { key, threshold } = claim;
    const askAgainAt = (at: number): void => {
      // A higher one may have been come to meanwhile.
      if (remembered.get(key)?.threshold === threshold) remember(key, threshold, at);
    };
    let answer: Awaited<ReturnType<AlertClaims["claim"]>>;
    try {
      answer = await claims.claim(claim, leaseMs);
    } catch (error) {
      log.warn({ err: error, channel: channel.name }, "alert could not be claimed, will be tried again");
      return askAgainAt(clock.now() + claimRetryMs);
    }
    if (answer === "told") return;
    if (answer !== "yours") return askAgainAt(answer.askAgainAt.getTime());
    const fate = await delivery.send(channel, alert());
    if (fate !== "given_up") return settle(claim);
    const waitMs = closing.signal.aborted ? 0 : pauseMs;
    askAgainAt(clock.now() + waitMs);
    // Where that fails, the claim ends by itself.
    await claims.release(claim, waitMs).catch(() => undefined);
  }

  /** It was told of: all others are to know, or the threshold would be told of again when the claim ends. */
  async function settle(claim: Claim): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        return await claims.told(claim);
      } catch {
        if (tries === settleTries || closing.signal.aborted) return;
        await sleep(settleMs, undefined, { ref: false, signal: closing.signal }).catch(() => undefined);
      }
    }
  }

  function alertOf(actor: Alert["actor"], reached: ReachedLimit, percent: number, threshold: number) {
    return { id: uniqueId(), at: new Date(clock.now()), actor, reached, percent, threshold };
  }

  return {
    observed(actor, limits) {
      if (!sources.has(actor.source)) return;
      for (const reached of limits) {
        const percent = Math.min(100, Math.floor((reached.used / reached.limit) * 100));
        if (percent >= lowest) for (const rule of rules) look(rule, actor, reached, percent);
      }
    },
    async test() {
      const at = clock.now();
      const reached = {
        feature: "chat_completions",
        unit: "requests",
        limit: 100,
        used: 90,
        windowMs: 86_400_000,
        resetAt: new Date(at + 3_600_000),
        models: undefined,
      };
      const actor = { source: "test", id: "test", name: "Nobody" };
      const alert = { ...alertOf(actor, reached, 90, 90), test: true };
      return Promise.all(
        rules.map(async ({ channel }) => ({ channel: channel.name, error: await tried(channel, alert) })),
      );
    },
    async close() {
      closing.abort();
      await delivery.close();
      await within(closeMs, () => Promise.all(underWay)).catch(() => undefined);
      await claims.close();
    },
  };
}

async function tried(channel: AlertChannel, alert: Alert): Promise<string | undefined> {
  try {
    await channel.send(alert);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : "failed";
  }
}
