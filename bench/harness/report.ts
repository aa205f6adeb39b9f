// Loaded into the measured Node processes (`--import`): tells the bench their own CPU clock when it asks, which it does before
// and after each load. BENCH_PROFILE names a file for where the time in between went.

import { writeFileSync } from "node:fs";
import { type Profiler, Session } from "node:inspector";

const profileFile = process.env.BENCH_PROFILE;
let session: Session | undefined;

function startProfile(): void {
  session = new Session();
  session.connect();
  session.post("Profiler.enable");
  session.post("Profiler.setSamplingInterval", { interval: 200 });
  session.post("Profiler.start");
}

function stopProfile(file: string): void {
  session?.post("Profiler.stop", (error, answer) => {
    if (!error) writeFileSync(file, ownTimes(answer.profile));
  });
  session?.disconnect();
  session = undefined;
}

/** Functions by the time spent in themselves, in percent of all. */
function ownTimes({ nodes, samples = [], timeDeltas = [] }: Profiler.Profile): string {
  const names = new Map(
    nodes.map(({ id, callFrame: { functionName, url, lineNumber } }) => [
      id,
      `${functionName || "(anonymous)"} ${url.replace(/^.*\/(?=dist\/|node_modules\/)/, "")}:${lineNumber + 1}`,
    ]),
  );
  const times = new Map<string, number>();
  samples.forEach((id, index) => {
    const name = names.get(id) ?? "?";
    times.set(name, (times.get(name) ?? 0) + (timeDeltas[index] ?? 0));
  });
  // What did not run, and the profiler's own beginning and end.
  for (const name of ["(idle) :0", "(program) :0", "dispatch :0"]) times.delete(name);
  const total = [...times.values()].reduce((sum, us) => sum + us, 0);
  return [...times]
    .toSorted(([, a], [, b]) => b - a)
    .slice(0, 100)
    .map(([name, us]) => `${((100 * us) / total).toFixed(1).padStart(5)} % ${name}`)
    .join("\n");
}

if (process.send) {
  process.on("message", (message) => {
    if (message !== "bench:cpu") return;
    process.send?.({ "bench:cpu": process.cpuUsage() });
    if (profileFile === undefined) return;
    if (session) stopProfile(profileFile);
    else startProfile();
  });
  // Listening must not keep the process alive.
  process.channel?.unref();
}
