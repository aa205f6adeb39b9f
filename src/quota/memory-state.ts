// What a memory store knows, and in which words it tells of changes.

import type { Due } from "../lib/due-list.js";
import type { ShortLivedMap } from "../lib/short-lived.js";
import type { Counters, Share } from "./counters.js";
import { createSettledIds, type SettledIds } from "./settled-ids.js";
import type { AbandonedHold, LazyText, Reservation, SettleCall } from "./store.js";
import * as store from "./store.js";

/** What is known of an actor. */
export interface ActorState {
  readonly name: string;
  readonly counters: Counters;
  /** Live holds by request id. */
  readonly holds: ShortLivedMap<string, HoldState>;
}

/** What was admitted. */
export interface Admission {
  readonly requestId: string;
  readonly actor: ActorState;
  readonly answer: Reservation;
  readonly shares: readonly Share[];
  readonly intent: LazyText;
}

/** A live hold; `dueAt` is the end of its lease. */
export interface HoldState extends Admission, Due {
  reached: boolean;
  /** Where whoever keeps the changes has it; 0: nowhere. Its keeper's own. */
  row: number;
}

/** All that a memory store knows. */
export interface MemoryState {
  readonly actors: Map<string, ActorState>;
  readonly settledIds: SettledIds;
  /** Settled at the end of their lease, and not told of yet. */
  readonly abandoned: AbandonedHold[];
}

/** Told of each change just after it, in order, before anything else happens. Must not throw. */
export interface Changes {
  held(added: HoldState): void;
  /** How a request ended: after `ended`, or, where there was no hold, once. */
  settled(how: "finished" | "refunded", call: Pick<SettleCall, "requestId" | "actor" | "outcome">): void;
  /** Its lease ended, after `ended`. */
  abandoned(found: AbandonedHold): void;
  /** A hold is no more, and its actor's counters say so. */
  ended(hold: HoldState): void;
  renewed(hold: HoldState): void;
  /** Windows of the actor were closed: those with these keys. */
  reset(actor: ActorState, keys: readonly string[]): void;
  /** Nothing of the actor counts any more. */
  dropped(actor: ActorState): void;
  /** So many abandoned holds, the first, were told of. */
  told(count: number): void;
}

/** How much is remembered. */
export interface MemoryOptions {
  /** How long a request id stays known after its hold was settled. Default 10 min. */
  readonly rememberMs?: number;
  /**
   * Most settled ids known at a time, the newest; bounds memory, where a process settles more than this in `rememberMs`.
   * In one process no reply is lost, so nothing is asked again minutes later. Default 20,000.
   */
  readonly maxRemembered?: number;
}

/** The state of a store that nobody has asked yet. */
export function createMemoryState({
  rememberMs = store.rememberMs,
  maxRemembered = 20_000,
}: MemoryOptions = {}): MemoryState {
  return { actors: new Map(), settledIds: createSettledIds(rememberMs, maxRemembered), abandoned: [] };
}
