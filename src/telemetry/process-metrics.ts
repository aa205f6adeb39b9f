import { collectDefaultMetrics, Registry } from "prom-client";

let ofProcess: Registry | undefined;

/** CPU, memory, file descriptors, garbage collection, event-loop lag: one set for a process, whatever runs in it. */
export function processMetrics(): Registry {
  if (!ofProcess) {
    ofProcess = new Registry();
    // What the lag is told with in ms: a turn of the event loop may seem so much longer than it was.
    collectDefaultMetrics({ register: ofProcess, eventLoopMonitoringPrecision: 2 });
  }
  return ofProcess;
}
