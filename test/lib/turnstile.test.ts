import { expect, it } from "vitest";
import { createTurnstile } from "../../src/lib/turnstile.js";

const nextTurn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

/** Who has passed so far, by the order of coming. */
function crowd(perTurn: number) {
  const turnstile = createTurnstile({ perTurn });
  const passed: number[] = [];
  let came = 0;
  return {
    passed,
    come(count: number): void {
      for (let at = 0; at < count; at++) {
        const who = came++;
        const turn = turnstile.pass();
        if (turn === undefined) passed.push(who);
        else void turn.then(() => passed.push(who));
      }
    },
  };
}

it("lets the first ones pass at once", () => {
  const { come, passed } = crowd(3);

  come(3);

  expect(passed).toEqual([0, 1, 2]);
});

it("lets so many pass in each turn, in the order in which they came", async () => {
  const { come, passed } = crowd(3);
  come(8);

  expect(passed).toHaveLength(3);
  await nextTurn();
  expect(passed).toEqual([0, 1, 2, 3, 4, 5]);
  come(2);
  await nextTurn();
  expect(passed).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
  await nextTurn();
  expect(passed).toHaveLength(10);
});

it("lets nobody pass those who wait", async () => {
  const { come, passed } = crowd(1);
  come(3);
  await nextTurn();
  come(1);

  expect(passed).toEqual([0, 1]);
  for (let turn = 0; turn < 2; turn++) await nextTurn();
  expect(passed).toEqual([0, 1, 2, 3]);
});

it("begins anew in a turn in which nobody waits", async () => {
  const { come, passed } = crowd(2);
  come(2);
  for (let turn = 0; turn < 2; turn++) await nextTurn();

  come(2);

  expect(passed).toEqual([0, 1, 2, 3]);
});

it("keeps the order of any number", async () => {
  const { come, passed } = crowd(4);
  for (let turn = 0; turn < 100; turn++) {
    come(7);
    await nextTurn();
  }
  while (passed.length < 700) await nextTurn();

  expect(passed).toEqual(Array.from({ length: 700 }, (_, who) => who));
});
