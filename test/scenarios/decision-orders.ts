// What processes that decide are told, and what they tell.

import type { Actor } from "../../src/actors/actor.js";
import { makeActor, makeLimit } from "../helpers/make-actor.js";

export interface DecisionOrders {
  readonly endpoint: string;
  readonly prefix: string;
  readonly actors: number;
  /** Requests of each actor, and those in flight. */
  readonly limit: number;
  readonly inFlight: number;
  readonly decisions: number;
  readonly concurrency: number;
}

/** What the process saw itself. */
export interface DecisionReport {
  readonly admitted: number;
  readonly refused: number;
  /** Answers that the store is away. */
  readonly away: number;
  readonly refunded: number;
  /** Requests that were let in and settled at what they used, of each actor. */
  readonly committed: readonly number[];
  /** Holds that could not be settled as they should. */
  readonly lost: number;
}

/** One of the actors that all processes decide about. */
export function decisionActor(index: number, { limit, inFlight }: Pick<DecisionOrders, "limit" | "inFlight">): Actor {
  const access = { limits: [makeLimit({ amount: limit })], inFlight };
  return makeActor({ id: `actor-${index}`, features: { chat_completions: access } });
}
