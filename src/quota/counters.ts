// Counting in windows, without time of its own: what the memory store does with one actor's numbers.

import { groupOf, type Rule, type RuleState } from "./store.js";
import { heldAmount, passes } from "./verdict.js";

/** One counting period of one rule. Holds keep theirs, so what is settled late goes where it was counted. */
export interface Counter {
  used: number;
  /** Of `used`, not settled yet. */
  held: number;
  readonly openedAt: number;
  /** Infinity for in-flight rules: their period never ends. */
  endsAt: number;
}

/** An actor's counters by rule key. */
export type Counters = Map<string, Counter>;

/** Counters looked at for each that is added for a member: what is over goes at least as fast as more comes. */
const lookedAt = 4;

/** What one hold has reserved of one rule. */
export interface Share {
  readonly rule: Rule;
  /** What it is counted under: the rule's key, or that of its group. */
  readonly key: string;
  readonly counter: Counter;
  readonly amount: number;
}

/**
 * Counts a request in each rule, opening windows where none is open; undefined when a rule does not pass: then in none.
 * `max`: counters from which on new members count in that of their group.
 */
export function hold(
  counters: Counters,
  rules: readonly Rule[],
  now: number,
  max: number,
): readonly Share[] | undefined {
  for (const { key } of rules) if (groupOf(key) !== undefined && !counters.has(key)) dropSome(counters, now);
  const shares: Share[] = [];
  for (const rule of rules) {
    const counter = openCounter(counters, rule, now, max) ?? { used: 0, held: 0, openedAt: now, endsAt: Infinity };
    if (!passes(rule, counter.used)) return undefined;
    shares.push({ rule, key: keyOf(counters, rule.key, max), counter, amount: heldAmount(rule) });
  }
  for (const { rule, key, counter, amount } of shares) {
    if (counter.used === 0) open(counters, key, counter);
    counter.endsAt = endOf(counter, rule);
    counter.used += amount;
    counter.held += amount;
  }
  return shares;
}

/** Ends a hold's share at what was used; undefined: as held. */
export function settle({ rule, counter, amount }: Share, used: number | undefined): void {
  counter.held -= amount;
  if (rule.kind === "in_flight") counter.used -= amount;
  else if (used !== undefined) counter.used += used - amount;
}

/** Where the rules of shares stand after they were held or settled. */
export function statesOfShares(counters: Counters, shares: readonly Share[], now: number, max: number): RuleState[] {
  return shares.map(({ rule, counter }) =>
    counter.endsAt > now ? shown(rule, counter) : stateOf(counters, rule, now, max),
  );
}

/** Where rules stand, in their order. */
export function statesOf(
  counters: Counters | undefined,
  rules: readonly Rule[],
  now: number,
  max: number,
): RuleState[] {
  return rules.map((rule) => stateOf(counters, rule, now, max));
}

/** Where a rule stands. Changes nothing: a window longer than the rule's shows its end as it would be cut. */
function stateOf(counters: Counters | undefined, rule: Rule, now: number, max: number): RuleState {
  const counter = counters && openCounter(counters, rule, now, max);
  if (counter !== undefined) return shown(rule, counter);
  return { key: rule.key, used: 0, held: 0, limit: rule.limit, resetAt: undefined };
}

/** Ends the open window of a counter; what holds of it settle later goes nowhere. Returns what was used. */
export function closeWindow(counters: Counters, key: string, now: number): number | undefined {
  const counter = counters.get(key);
  if (counter === undefined || counter.endsAt <= now || counter.endsAt === Infinity) return undefined;
  counter.endsAt = now;
  return counter.used;
}

/** Drops what no longer counts. */
export function dropEnded(counters: Counters, now: number): void {
  for (const [key, counter] of counters) if (isOver(counter, now)) counters.delete(key);
}

/** The same of a few counters, at each call of others. */
function dropSome(counters: Counters, now: number): void {
  let left = lookedAt;
  for (const [key, counter] of counters) {
    if (left-- === 0) return;
    counters.delete(key);
    if (!isOver(counter, now)) counters.set(key, counter);
  }
}

function isOver({ endsAt, used }: Counter, now: number): boolean {
  return endsAt <= now || (endsAt === Infinity && used === 0);
}

/** What a rule is counted under: its key, or, where there is no room for another member, that of its group. */
function keyOf(counters: Counters, key: string, max: number): string {
  const group = groupOf(key);
  return group === undefined || counters.size < max || counters.has(key) ? key : group;
}

function shown(rule: Rule, counter: Counter): RuleState {
  const resetAt = rule.kind === "in_flight" ? undefined : endOf(counter, rule);
  return { key: rule.key, used: counter.used, held: counter.held, limit: rule.limit, resetAt };
}

function openCounter(counters: Counters, rule: Rule, now: number, max: number): Counter | undefined {
  const counter = counters.get(keyOf(counters, rule.key, max));
  return counter !== undefined && endOf(counter, rule) > now ? counter : undefined;
}

function open(counters: Counters, key: string, counter: Counter): void {
  const before = counters.get(key);
  if (before !== undefined && before !== counter) before.endsAt = Math.min(before.endsAt, counter.openedAt);
  counters.set(key, counter);
}

function endOf(counter: Counter, rule: Rule): number {
  return rule.kind === "in_flight" ? Infinity : Math.min(counter.endsAt, counter.openedAt + rule.windowMs);
}
