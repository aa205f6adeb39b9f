import { describe, expect, it } from "vitest";
import { type CallTimer, timed } from "../../src/lib/timed.js";

function recordingTimer() {
  const told: unknown[] = [];
  const timer: CallTimer = {
    answered: (tookMs, answer) => told.push({ tookMs, answer }),
    failed: (tookMs, error) => told.push({ tookMs, error }),
  };
  return { told, timer };
}

describe("timed", () => {
  it("gives callers the promise of the part, and tells of its answer before they hear of it", async () => {
    const { told, timer } = recordingTimer();
    let answer = (_text: string): void => undefined;
    const promise = new Promise<string>((resolve) => {
      answer = resolve;
    });
    const asked: string[] = [];
    const part = {
      size: 3,
      ask: (question: string) => {
        asked.push(question);
        return promise;
      },
    };

    const watched = timed(part, ["ask"], () => timer);
    const given = watched.ask("how far");
    expect([given, watched.size, told]).toEqual([promise, 3, []]);
    expect(given).toBe(promise);
    answer("far");
    await given;

    expect(asked).toEqual(["how far"]);
    expect(told).toEqual([{ tookMs: expect.any(Number), answer: "far" }]);
  });

  it("tells of failures, and leaves them to the caller", async () => {
    const { told, timer } = recordingTimer();
    const error = new Error("away");

    const watched = timed({ ask: () => Promise.reject(error) }, ["ask"], () => timer);

    await expect(watched.ask()).rejects.toBe(error);
    expect(told).toEqual([{ tookMs: expect.any(Number), error }]);
  });

  it("leaves other methods alone", () => {
    const { timer } = recordingTimer();
    const part = { ask: async () => 1, tell: async () => 2 };

    expect(timed(part, ["ask"], () => timer).tell).toBe(part.tell);
  });
});
