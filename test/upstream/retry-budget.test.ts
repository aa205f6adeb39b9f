import { expect, it } from "vitest";
import { createRetryBudget } from "../../src/upstream/retry-budget.js";

function budgetOf() {
  let nowMs = 0;
  const budget = createRetryBudget(() => nowMs);
  const spendAll = (): number => {
    let spent = 0;
    while (budget.spend()) spent++;
    return spent;
  };
  return { budget, spendAll, pass: (ms: number) => void (nowMs += ms) };
}

it("begins with a small reserve, and then has a tenth of the requests", () => {
  const { budget, spendAll } = budgetOf();
  expect(spendAll()).toBe(3);
  for (let sent = 0; sent < 100; sent++) budget.sent();
  expect(spendAll()).toBe(10);
});

it("never has more than a tenth and the reserve, whenever it is spent", () => {
  const { budget } = budgetOf();
  let spent = 0;
  for (let sent = 0; sent < 5_000; sent++) {
    budget.sent();
    if (budget.spend()) spent++;
  }
  expect(spent).toBe(503);
});

it("saves up to twenty", () => {
  const { budget, spendAll } = budgetOf();
  for (let sent = 0; sent < 10_000; sent++) budget.sent();
  expect(spendAll()).toBe(20);
});

it("gives a quiet upstream its reserve back, one every ten seconds", () => {
  const { spendAll, pass } = budgetOf();
  spendAll();
  pass(10_000);
  expect(spendAll()).toBe(1);
  pass(3_600_000);
  expect(spendAll()).toBe(3);
});
