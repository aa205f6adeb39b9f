import type { Meter } from "./provider.js";

/** The meter of an API that costs nothing, such as for counting tokens: its answer is no usage. */
export function createFreeMeter(): Meter {
  let ended: Meter["ended"];
  return {
    event() {},
    whole() {
      ended = "complete";
    },
    usage: {},
    get ended() {
      return ended;
    },
  };
}
