// Loaded into a gateway by `NODE_OPTIONS=--import=…`: measures the turns of its event loop from one SIGUSR2 to the next, and then
// writes the longest one's CPU time, ms, into a file of `TURN_METER_FOLDER` that is named as the process.

import { writeFileSync } from "node:fs";
import { threadCpuMs } from "../helpers/thread-cpu.js";

let measuring = false;
let longestMs = 0;
let last = 0;

/** Once in each turn, but for those that take less than a millisecond. */
function turn() {
  const now = threadCpuMs();
  longestMs = Math.max(longestMs, now - last);
  last = now;
  if (measuring) setTimeout(turn, 1);
}

process.on("SIGUSR2", () => {
  measuring = !measuring;
  if (!measuring) return writeFileSync(`${process.env["TURN_METER_FOLDER"]}/${process.pid}`, String(longestMs));
  longestMs = 0;
  last = threadCpuMs();
  turn();
});
