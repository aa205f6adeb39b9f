// Gateways whose clocks are far apart decide alike.

import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";
import { type Answer, endUserOf, type Fleet, type GatewayProcess } from "../helpers/processes.js";

/** Limits of the actors that are asked about: one whom all are asked of, and two for each gateway. */
export function alikeActors(gateways: number): Record<string, readonly object[]> {
  const actors: Record<string, readonly object[]> = { together: [{ limit: togetherLimit, per: "24h" }] };
  for (let index = 0; index < gateways; index++) {
    actors[`alone-${index}`] = [{ limit: 3, per: "1h" }];
    actors[`brief-${index}`] = [{ limit: 2, per: `${briefS}s` }];
  }
  return actors;
}

const togetherLimit = 20;
const briefS = 2;

export async function decideAlike(fleet: Fleet): Promise<void> {
  await Promise.all([eachAlone(fleet), allTogether(fleet), asWindowsEnd(fleet)]);
}

/** The same questions to each, of actors with the same limits: the same answers. */
async function eachAlone({ gateways }: Fleet): Promise<void> {
  const said = await Promise.all(
    gateways.map(async (gateway, index) => {
      const answers: Answer[] = [];
      for (let i = 0; i < 5; i++) answers.push(await decision(gateway, `alone-${index}`));
      return answers;
    }),
  );
  for (const answers of said) {
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 429, 429]);
    expect(answers.map(({ headers }) => headers["x-ratelimit-remaining"])).toEqual(["2", "1", "0", "0", "0"]);
    for (const { status, headers } of answers) {
      const left = [Number(headers["x-ratelimit-reset"]), Number(/;t=(\d+)/.exec(String(headers["ratelimit"]))?.[1])];
      if (status === 429) left.push(Number(headers["retry-after"]));
      // An hour, less what this took: neither two and a half, nor minus a half.
      for (const seconds of left) expect(Math.abs(3_570 - seconds)).toBeLessThanOrEqual(30);
    }
  }
}

/** Questions to all in turn, of one actor: one count, whoever is asked. */
async function allTogether({ gateways, upstream }: Fleet): Promise<void> {
  const remaining: number[] = [];
  for (let i = 0; i < 2 * togetherLimit; i++) {
    const { status, headers } = await decision(gateways[i % gateways.length] as GatewayProcess, "together");
    expect([i, status]).toEqual([i, i < togetherLimit ? 200 : 429]);
    remaining.push(Number(headers["x-ratelimit-remaining"]));
  }
  expect(remaining).toEqual(Array.from({ length: 2 * togetherLimit }, (_, i) => Math.max(0, togetherLimit - 1 - i)));
  expect(upstream.count(endUserOf("together"))).toBe(togetherLimit);
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

/** The first answer that is no word of the store being away. */
async function decision(gateway: GatewayProcess, actor: string): Promise<Answer> {
  for (;;) {
    const answer = await gateway.chat(actor);
    if (answer.status !== 503) return answer;
    await sleep(50);
  }
}
