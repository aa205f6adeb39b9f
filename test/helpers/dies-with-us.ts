import type { ChildProcess } from "node:child_process";

const alive = new Set<ChildProcess>();

function killAll(): void {
  for (const child of alive) child.kill("SIGKILL");
}

process.on("exit", killAll);
// Who runs the tests ends a process whose test did not end with this: nobody else tells what it has started.
process.on("SIGTERM", () => {
  killAll();
  process.exit(143);
});

/** Sees that a process which a test started does not outlive the tests, whatever becomes of them. */
export function diesWithUs(child: ChildProcess): void {
  alive.add(child);
  child.once("exit", () => alive.delete(child));
}
