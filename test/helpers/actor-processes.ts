// Processes that follow one store of actors.

import { fork } from "node:child_process";
import { once } from "node:events";
import type { Order, Report, WorkerSettings } from "./actor-worker.js";
import { diesWithUs } from "./dies-with-us.js";
import { processFile } from "./process-files.js";

export interface ActorProcess extends AsyncDisposable {
  /** What came of an order. Orders are given one after another. */
  obey(order: Order): Promise<string>;
  /** Gives an order without waiting; `report` is its result. */
  begin(order: Order): { readonly report: Promise<string> };
  /** Stops the process where it is. */
  freeze(): void;
  thaw(): void;
}

/** Resolves when it follows. */
export async function startActorProcess(settings: WorkerSettings): Promise<ActorProcess> {
  const child = fork(processFile("actor-worker"), [JSON.stringify(settings)], { execArgv: [] });
  diesWithUs(child);
  const ended = once(child, "exit");

  async function next(kind: Report["kind"]): Promise<string> {
    const gone = ended.then(() => Promise.reject(new Error("the process ended")));
    const [report] = (await Promise.race([once(child, "message"), gone])) as [Report];
    if (report.kind !== kind) throw new Error(`${report.kind} instead of ${kind}`);
    return report.result;
  }

  function begin(order: Order): { report: Promise<string> } {
    const report = next(order.kind);
    child.send(order);
    return { report };
  }

  await next("ready");
  return {
    begin,
    obey: (order) => begin(order).report,
    freeze: () => void child.kill("SIGSTOP"),
    thaw: () => void child.kill("SIGCONT"),
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await ended;
    },
  };
}
