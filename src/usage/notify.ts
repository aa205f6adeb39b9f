// Alerts when actors have used most of a limit: once for each threshold and window, whichever process sees it, and never in the
// way of a request.

import { uniqueId } from "../lib/ids.js";
import type { Alert, AlertChannel, AlertRule, ReachedLimit } from "./alert.js";
import { createTelling, type TellingOptions, type TellingParts } from "./notify-telling.js";

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

export interface NotifierParts extends Omit<TellingParts, "channels"> {
  readonly rules: readonly AlertRule[];
}

/** Limits of which is remembered that they were looked at. */
const maxRemembered = 20_000;

interface Remembered {
  readonly threshold: number;
  readonly until: number;
}

/** Undefined where nobody wants to know anything. */
export function createNotifier(parts: NotifierParts, options: TellingOptions = {}): Notifier | undefined {
  const { rules, clock } = parts;
  if (rules.length === 0) return undefined;
  const telling = createTelling({ ...parts, channels: rules.map(({ channel }) => channel) }, options);
  const remembered = new Map<string, Remembered>();
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
    const alert = (): Alert => ({ ...alertOf(actor, reached, percent, threshold), test: false });
    void telling.tell(rule.channel, { key, threshold, until: reached.resetAt }, alert).then((askAgainAt) => {
      // A higher one may have been come to meanwhile.
      if (askAgainAt !== undefined && remembered.get(key)?.threshold === threshold)
        remember(key, threshold, askAgainAt);
    });
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
    close: telling.close,
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
