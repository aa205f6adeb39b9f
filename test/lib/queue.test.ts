import { describe, expect, it } from "vitest";
import { createQueue } from "../../src/lib/queue.js";

describe("a queue", () => {
  it("hands over everything in order, also to a producer that writes as soon as it is told of room", async () => {
    const queue = createQueue<number>(4);
    let next = 0;
    const produce = (): void => {
      while (next < 1000 && queue.hasRoom()) queue.push(next++);
      if (next < 1000) queue.onRoom(produce);
      else queue.end();
    };
    produce();
    const seen: number[] = [];
    for await (const item of queue) seen.push(item);
    expect(seen).toEqual(Array.from({ length: 1000 }, (_, i) => i));
  });

  it("has room by the size of what waits, and again once that was taken", async () => {
    const queue = createQueue<string>(10, ({ length }) => length);
    queue.push("four");
    expect(queue.hasRoom()).toBe(true);
    queue.push("sixteen letters!");
    expect(queue.hasRoom()).toBe(false);
    const reader = queue[Symbol.asyncIterator]();
    await reader.next();
    expect(queue.hasRoom()).toBe(true);
  });

  it("throws what it failed with, after what came before", async () => {
    const queue = createQueue<string>(4);
    queue.push("a");
    queue.fail(new Error("broken"));
    const seen: string[] = [];
    const read = async (): Promise<void> => {
      for await (const item of queue) seen.push(item);
    };
    await expect(read()).rejects.toThrow("broken");
    expect(seen).toEqual(["a"]);
  });

  it("wakes a reader that waits", async () => {
    const queue = createQueue<string>(4);
    const first = queue[Symbol.asyncIterator]().next();
    queue.push("late");
    expect(await first).toEqual({ value: "late", done: false });
  });
});
