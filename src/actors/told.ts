// What back ends tell of actors, checked before it is believed: every field of it can be missing, blank or absurd.

import type { FeatureAccess, Limit, Unit } from "./actor.js";
import { type Burst, burstOf } from "./burst.js";

/** Something that was told makes no sense. The message says what, and holds nothing secret. */
export class NonsenseError extends Error {
  override readonly name = "NonsenseError";
}

const minWindowMs = 1_000;
const maxWindowMs = 3_650 * 86_400_000;
const maxNameLength = 200;

/** An id: short, and without white space or anything else that would need care elsewhere. */
export function toldId(id: unknown): string {
  if (typeof id !== "string" || !isPlainId(id)) throw new NonsenseError("its id is not one");
  return id;
}

/** Whether this could be an actor's id. */
export function isPlainId(id: string): boolean {
  return /^[A-Za-z0-9][\w.-]{0,99}$/.test(id);
}

/** A name for people: on one line, of bearable length; `otherwise` when there is none. */
export function toldName(name: unknown, otherwise: string): string {
  if (typeof name !== "string") return otherwise;
  // Nearly all are: and there are many of them.
  if (/^[!-~](?:[ -~]{0,198}[!-~])?$/.test(name)) return name;
  const plain = name
    .slice(0, 10 * maxNameLength)
    .replace(/[\p{C}\p{Zl}\p{Zp}]/gu, " ")
    .trim();
  return Array.from(plain).slice(0, maxNameLength).join("") || otherwise;
}

/** An amount: a whole number from 0 on, as a number, a bigint or a text. */
function toldAmount(amount: unknown, field: string): number {
  const isText = typeof amount === "string" && /^\d{1,20}$/.test(amount);
  const value = isText || typeof amount === "bigint" ? Number(amount) : amount;
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  throw new NonsenseError(`${field} is no amount`);
}

/** A limit on a feature, as it was told. */
export interface ToldLimit {
  readonly field: string;
  readonly amount: unknown;
  readonly windowMs: number;
  readonly unit: Unit;
  readonly models: readonly string[];
}

/** The access that a limit means; undefined: none, which is what an amount of 0 or an empty list of models says. */
export function toldAccess(told: ToldLimit, burst: Burst): FeatureAccess | undefined {
  const { field, unit, models } = told;
  const amount = toldAmount(told.amount, field);
  if (amount === 0 || models.length === 0) return undefined;
  const windowMs = Math.round(told.windowMs);
  if (!(windowMs >= minWindowMs && windowMs <= maxWindowMs)) throw new NonsenseError(`${field} has no usable interval`);
  const limit: Limit = { amount, unit, windowMs };
  return { limits: [limit, burstOf(limit, burst)], models };
}
