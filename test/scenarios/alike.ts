// Gateways whose clocks are far apart decide alike.

import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";
import { type Answer, endUserOf, type Fleet, type GatewayProcess } from "../helpers/processes.js";

/**
 * Limits of the actors that are asked about: one whom all are asked of, and two for each gateway. Where all answers to an actor
 * are looked at there are more of its kind: another one is asked about when Redis was away meanwhile, and the count not sure.
 */
export function alikeActors(gateways: number): Record<string, readonly object[]> {
  const actors: Record<string, readonly object[]> = {};
  for (let index = 0; index < gateways; index++) actors[`brief-${index}`] = [{ limit: 2, per: `${briefS}s` }];
  for (let which = 0; which < others; which++) {
    actors[`together-${which}`] = [{ limit: togetherLimit, per: "24h" }];
    for (let index = 0; index < gateways; index++) actors[`alone-${index}-${which}`] = [{ limit: 3, per: "1h" }];
  }
  return actors;
}

const togetherLimit = 20;
const briefS = 2;
const others = 10;

export async function decideAlike(fleet: Fleet): Promise<void> {
  await Promise.all([
    Promise.all(fleet.gateways.map((gateway, index) => alone(gateway, index))),
    allTogether(fleet),
    asWindowsEnd(fleet),
  ]);
}

/** `ask` of one actor after another, until all answers about one were decisions. */
async function undisturbed<T>(ask: (which: number) => Promise<T | undefined>): Promise<T> {
  for (let which = 0; which < others; which++) {
    const found = await ask(which);
    if (found !== undefined) return found;
  }
  throw new Error("Redis is away again and again");
}

/** The same questions to each gateway, of actors with the same limits: the same answers. */
async function alone(gateway: GatewayProcess, index: number): Promise<void> {
  const answers = await undisturbed(async (which) => {
    const all: Answer[] = [];
    for (let i = 0; i < 5; i++) all.push(await gateway.chat(`alone-${index}-${which}`));
    return all.some(isAway) ? undefined : all;
  });
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 429, 429]);
  expect(answers.map(({ headers }) => headers["x-ratelimit-remaining"])).toEqual(["2", "1", "0", "0", "0"]);
  for (const { status, headers } of answers) {
    const left = [Number(headers["x-ratelimit-reset"]), Number(/;t=(\d+)/.exec(String(headers["ratelimit"]))?.[1])];
    if (status === 429) left.push(Number(headers["retry-after"]));
    // An hour, less what this took: neither two and a half, nor minus a half.
    for (const seconds of left) expect(Math.abs(3_570 - seconds)).toBeLessThanOrEqual(30);
  }
}

/** Questions to all in turn, of one actor: one count, whoever is asked. */
async function allTogether({ gateways, upstream }: Fleet): Promise<void> {
  const { answers, passed } = await undisturbed(async (which) => {
    const all: Answer[] = [];
    for (let i = 0; i < 2 * togetherLimit; i++)
      all.push(await (gateways[i % gateways.length] as GatewayProcess).chat(`together-${which}`));
    const sent = upstream.count(endUserOf(`together-${which}`));
    return all.some(isAway) ? undefined : { answers: all, passed: sent };
  });
  const numbers = answers.map((_, i) => i);
  expect(answers.map(({ status }) => status)).toEqual(numbers.map((i) => (i < togetherLimit ? 200 : 429)));
  const remaining = answers.map(({ headers }) => Number(headers["x-ratelimit-remaining"]));
  expect(remaining).toEqual(numbers.map((i) => Math.max(0, togetherLimit - 1 - i)));
  expect(passed).toBe(togetherLimit);
}

/** Who is told by one to come again later is refused by the others until then, and let in by them from then on. */
async function asWindowsEnd({ gateways }: Fleet): Promise<void> {
  const ends = async (index: number): Promise<void> => {
    const actor = `brief-${index}`;
    const one = gateways[index] as GatewayProcess;
    const other = gateways[(index + 1) % gateways.length] as GatewayProcess;
    let told = await decision(one, actor);
    while (told.status !== 429) told = await decision(one, actor);
    const toldAt = performance.now();
    const seconds = Number(told.headers["retry-after"]);
    expect(seconds).toBeLessThanOrEqual(briefS);
    const early = await decision(other, actor);
    // On a machine that is busy, it may be later than it seems.
    if (early.status === 200) expect(performance.now() - toldAt).toBeGreaterThan((seconds - 1) * 1_000);
    await sleep(toldAt + seconds * 1_000 - performance.now());
    expect((await decision(other, actor)).status).toBe(200);
  };
  await Promise.all(gateways.map((_, index) => ends(index)));
}

/** Whether this is a word of the store being away. What was asked may be counted for a while all the same. */
function isAway({ status }: Answer): boolean {
  return status === 503;
}

/** The first answer that is a decision. */
async function decision(gateway: GatewayProcess, actor: string): Promise<Answer> {
  for (;;) {
    const answer = await gateway.chat(actor);
    if (!isAway(answer)) return answer;
    await sleep(50);
  }
}
