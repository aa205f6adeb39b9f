import { setImmediate as turn } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, it } from "vitest";
import { abortable } from "../../src/lib/abortable.js";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

it("keeps no item that was passed on", async () => {
  async function* items(): AsyncGenerator<object> {
    for (let number = 0; number < 50; number++) yield { number };
  }
  const passed: WeakRef<object>[] = [];
  const left: number[] = [];
  for await (const item of abortable(items(), new AbortController().signal)) {
    passed.push(new WeakRef(item));
    if (passed.length < 50) continue;
    await turn();
    collectGarbage();
    left.push(passed.filter((each) => each.deref() !== undefined).length);
  }
  // The last one is in use; a register may still hold the one before it.
  expect(left[0]).toBeLessThan(5);
});

it("ends with the signal's reason, also when who makes the items hangs", async () => {
  async function* items(): AsyncGenerator<number> {
    yield 1;
    await new Promise(() => {});
  }
  const abort = new AbortController();
  const reason = new Error("enough");
  const seen: number[] = [];
  const reading = (async () => {
    for await (const item of abortable(items(), abort.signal)) seen.push(item);
  })();
  await turn();
  abort.abort(reason);

  await expect(reading).rejects.toBe(reason);
  expect(seen).toEqual([1]);
});
