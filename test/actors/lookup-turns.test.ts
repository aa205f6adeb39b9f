import { expect, it } from "vitest";
import { createLookupTurns } from "../../src/actors/lookup-turns.js";

it("who asks for a turn while the look-up of another process fails is told so, whatever comes first", async () => {
  for (const failsFirst of [true, false]) {
    let tell: (message: string) => void = () => undefined;
    const failed = new Set<string>();
    const turns = createLookupTurns({
      store: {
        async acquire() {
          // The turn is taken. By a connection of their own messages may come before the answer.
          if (failsFirst) tell("hash 2000");
          else setImmediate(() => tell("hash 2000"));
          return undefined;
        },
        publish: () => undefined,
        subscribe(_, listener) {
          tell = listener;
          return () => undefined;
        },
      },
      process: "this one",
      onFailed: (tokenHash) => failed.add(tokenHash),
      hasFailed: (tokenHash) => failed.has(tokenHash),
    });
    const taken = turns.take(
      "hash",
      () => undefined,
      () => Promise.reject(new Error("it is not its turn")),
    );

    await expect(taken).rejects.toMatchObject({ reason: "SOURCE_UNAVAILABLE" });
    turns.close();
  }
}, 5_000);
