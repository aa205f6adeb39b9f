import type { Log } from "../lib/log.js";

/** Shares of the most that may wait at which it is said how many do. */
const shares = [0.1, 0.25, 0.5, 0.75, 1];
/** Below this one it is over. */
const overShare = 0.05;

/** Says, long before there is no room left, that ever more events wait, and that it is over. `look` is to be called often. */
export function createBacklogAlarm({ log, max }: { log: Pick<Log, "warn" | "info">; max: number }): {
  look(waiting: number): void;
} {
  let said = 0;
  return {
    look(waiting) {
      let reached = 0;
      while (reached < shares.length && waiting >= (shares[reached] as number) * max) reached++;
      if (reached > said) {
        said = reached;
        log.warn({ waiting, max }, "ever more usage events wait for a sink");
      } else if (said > 0 && waiting <= overShare * max) {
        said = 0;
        log.info({ waiting }, "usage events are delivered again");
      }
    },
  };
}
