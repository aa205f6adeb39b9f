import { openSync, readSync } from "node:fs";

// Of https://docs.kernel.org/scheduler/sched-stats.html: nanoseconds on a CPU come first.
const file = openSync(`/proc/self/task/${process.pid}/schedstat`, "r");
const bytes = Buffer.alloc(100);

/**
 * CPU time so far of the thread that runs the event loop, ms: what other processes, V8's other threads and workers take is not in
 * it. Plain JavaScript, for processes that load nothing else.
 */
export function threadCpuMs() {
  return Number(bytes.toString("latin1", 0, readSync(file, bytes, 0, bytes.length, 0)).split(" ")[0]) / 1e6;
}
