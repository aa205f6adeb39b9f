// A thread that answers questions one after another: for work that takes longer than others may be kept waiting.

import { Worker } from "node:worker_threads";
import { createShortLivedMap } from "./short-lived.js";

export interface AskedThread<Question, Answer> {
  /** Undefined when there is no answer: the thread could not be started, ended, or took too long. */
  ask(question: Question): Promise<Answer | undefined>;
  /** Questions without an answer so far. */
  readonly waiting: number;
  /** Ends the thread. What waits gets no answer; a question after it starts the thread anew. */
  close(): Promise<void>;
}

export interface AskedThreadOptions {
  /**
   * What the thread runs, as CommonJS: a text and not a file, so that it runs from sources and from what is built alike. It is
   * sent `{ number, question }` and posts `{ number, answer }`, or without `answer` when it has none.
   */
  readonly code: string;
  /** For the code: `workerData`. */
  readonly data: unknown;
  /** The thread ends when nobody has asked for this long: it holds memory. */
  readonly idleMs: number;
  /** Longest wait for an answer. The thread is then ended, as it may never give one. Absent: any. */
  readonly timeoutMs?: number;
}

interface Waiting<Answer> {
  readonly number: number;
  resolve(answer: Answer | undefined): void;
  readonly timer: NodeJS.Timeout | undefined;
}

/** The thread is started with the first question. */
export function createAskedThread<Question, Answer>(options: AskedThreadOptions): AskedThread<Question, Answer> {
  const { code, data, idleMs, timeoutMs } = options;
  let worker: Worker | undefined;
  let idle: NodeJS.Timeout | undefined;
  let numbers = 0;
  const waiting = createShortLivedMap<number, Waiting<Answer>>();

  function settle(number: number, answer: Answer | undefined): void {
    const asked = waiting.get(number);
    waiting.delete(number);
    clearTimeout(asked?.timer);
    asked?.resolve(answer);
  }

  function settleAll(): void {
    for (const { number } of waiting.values()) settle(number, undefined);
  }

  function lost(gone: Worker): void {
    if (worker !== gone) return;
    worker = undefined;
    settleAll();
  }

  function start(): Worker {
    const started = new Worker(code, { eval: true, workerData: data });
    started.on("message", ({ number, answer }: { number: number; answer?: Answer }) => settle(number, answer));
    started.on("error", () => lost(started));
    started.on("exit", () => lost(started));
    started.unref();
    return started;
  }

  async function end(): Promise<void> {
    clearTimeout(idle);
    const ending = worker;
    worker = undefined;
    await ending?.terminate();
  }

  function rest(): void {
    clearTimeout(idle);
    idle = setTimeout(() => {
      if (waiting.size > 0) rest();
      else void end();
    }, idleMs);
    idle.unref();
  }

  function giveUp(): void {
    void end();
    settleAll();
  }

  return {
    ask: (question) =>
      new Promise((resolve) => {
        const number = numbers++;
        const timer = timeoutMs === undefined ? undefined : setTimeout(giveUp, timeoutMs).unref();
        waiting.set(number, { number, resolve, timer });
        rest();
        worker ??= start();
        worker.postMessage({ number, question });
      }),
    get waiting() {
      return waiting.size;
    },
    async close() {
      await end();
      settleAll();
    },
  };
}
