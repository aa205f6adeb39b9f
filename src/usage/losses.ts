import type { Log } from "../lib/log.js";

/** Says that events are lost to a sink: at once, and then once a second while it goes on. */
export interface LossReport {
  add(events: number): void;
  close(): void;
}

export interface LossReportParts {
  /** Name of the sink. */
  readonly sink: string;
  readonly log: Pick<Log, "error">;
  readonly count: (sink: string, result: "lost", events: number) => void;
}

export function createLossReport({ sink, log, count }: LossReportParts): LossReport {
  let lost = 0;
  let total = 0;
  let timer: NodeJS.Timeout | undefined;
  const tell = (): void => {
    timer = undefined;
    if (lost === 0) return;
    log.error({ sink, lost, lostInAll: total }, "usage events lost");
    lost = 0;
    timer = setTimeout(tell, 1_000).unref();
  };
  return {
    add(events) {
      if (events === 0) return;
      lost += events;
      total += events;
      count(sink, "lost", events);
      if (!timer) tell();
    },
    close() {
      clearTimeout(timer);
      tell();
      clearTimeout(timer);
    },
  };
}
