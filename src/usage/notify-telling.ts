// Telling of a threshold: claimed first, so that no two processes do, and given back when it could not be sent.

import { setTimeout as sleep } from "node:timers/promises";
import type { Clock } from "../lib/clock.js";
import { within } from "../lib/within.js";
import type { Alert, AlertChannel, AlertClaims, Claim } from "./alert.js";
import { createDelivery, type DeliveryOptions, type DeliveryParts } from "./notify-delivery.js";

/** Sees to it that each threshold is told of, by this process or another. */
export interface Telling {
  /** Resolves to when to ask again, in ms since 1970; undefined: it is told of. Never rejects. */
  tell(channel: AlertChannel, claim: Claim, alert: () => Alert): Promise<number | undefined>;
  /** What waits is left to other processes, or to a later start. */
  close(): Promise<void>;
}

export interface TellingParts extends DeliveryParts {
  readonly channels: readonly AlertChannel[];
  readonly claims: AlertClaims;
  readonly clock: Clock;
}

export interface TellingOptions extends DeliveryOptions {
  /** Time between attempts to tell the store of claims that an alert was sent. Default 5 s. */
  readonly settleMs?: number;
}

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

export function createTelling(parts: TellingParts, options: TellingOptions = {}): Telling {
  const { channels, claims, clock, log } = parts;
  const { settleMs = 5_000 } = options;
  const delivery = createDelivery(parts, channels, options);
  const underWay = new Set<Promise<number | undefined>>();
  const closing = new AbortController();

  async function tell(channel: AlertChannel, claim: Claim, alert: () => Alert): Promise<number | undefined> {
    let answer: Awaited<ReturnType<AlertClaims["claim"]>>;
    try {
      answer = await claims.claim(claim, leaseMs);
    } catch (error) {
      log.warn({ err: error, channel: channel.name }, "alert could not be claimed, will be tried again");
      return clock.now() + claimRetryMs;
    }
    if (answer === "told") return undefined;
    if (answer !== "yours") return answer.askAgainAt.getTime();
    const fate = await delivery.send(channel, alert());
    if (fate !== "given_up") {
      await settle(claim);
      return undefined;
    }
    const waitMs = closing.signal.aborted ? 0 : pauseMs;
    // Where that fails, the claim ends by itself.
    await claims.release(claim, waitMs).catch(() => undefined);
    return clock.now() + waitMs;
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

  return {
    tell(channel, claim, alert) {
      const telling = tell(channel, claim, alert).finally(() => underWay.delete(telling));
      underWay.add(telling);
      return telling;
    },
    async close() {
      closing.abort();
      await delivery.close();
      await within(closeMs, () => Promise.all(underWay)).catch(() => undefined);
      await claims.close();
    },
  };
}
