// The thread of a database, as the others see it: orders go there, answers come back, in order.

import { Worker } from "node:worker_threads";
import { SqlError } from "./database-errors.js";
import { createShortLivedMap } from "./short-lived.js";

/** What a statement's parameter or a column may be. Numbers are exact up to 2^53; `undefined` is no value: write null. */
export type Value = string | number | null | Uint8Array;

/** One SQL statement; its `?` are the parameters, in order. Texts should be few: each is kept prepared. */
export interface Statement {
  readonly sql: string;
  readonly params?: readonly Value[];
}

/** What goes wrong in the thread, as it can be passed on. */
export interface Failure {
  readonly code: string;
  readonly message: string;
  readonly disk: boolean;
}

export interface OpenOptions {
  readonly path: string;
  /** Tells files of this program from those of others that use SQLite. */
  readonly applicationId: number;
  readonly syncMs: number;
}

export type Task =
  | { readonly kind: "write"; readonly writes: readonly (readonly Statement[])[] }
  | { readonly kind: "read"; readonly statement: Statement }
  | { readonly kind: "migrate"; readonly part: string; readonly versions: readonly string[] }
  | { readonly kind: "probe" }
  | { readonly kind: "close" };

export interface Order {
  readonly number: number;
  readonly task: Task;
}

export interface Answer {
  readonly failure?: Failure;
  /** Of writes: how each failed; absent when none did. */
  readonly failures?: readonly (Failure | undefined)[] | undefined;
  readonly rows?: readonly object[];
}

export type WorkerMessage =
  | { readonly kind: "open" }
  | { readonly kind: "unopened"; readonly failure: Failure }
  | { readonly kind: "answer"; readonly number: number; readonly answer: Answer }
  | { readonly kind: "unsynced"; readonly failure: Failure };

export interface Thread {
  /** It has ended: what is asked of it is refused. */
  readonly ended: boolean;
  /** Rejects with `SqlError`. */
  ask(task: Task): Promise<Answer>;
  /** Closes the file and ends; resolves when another may open it. */
  close(): Promise<void>;
}

/** What was asked and has no answer yet. */
interface Asked {
  readonly number: number;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
}

/** Starts a thread that has the database open. `onTrouble`: what it meets when nobody asks, its own end too. */
export async function startThread(options: OpenOptions, onTrouble: (error: SqlError) => void): Promise<Thread> {
  // Without what this process was told to load first: that is for this one.
  const settings = { workerData: options, execArgv: [] };
  const worker = new Worker(new URL("./database-worker.js", import.meta.url), settings);
  const asked = createShortLivedMap<number, Asked>();
  let last = 0;
  let over: SqlError | undefined;
  let closing = false;

  const opened = new Promise<void>((resolve, reject) => {
    worker.on("message", (message: WorkerMessage) => {
      if (message.kind === "open") resolve();
      else if (message.kind === "unopened") reject(errorOf(message.failure));
      else if (message.kind === "unsynced") onTrouble(errorOf(message.failure));
      else settle(message.number, message.answer);
    });
  });
  const ended = new Promise<SqlError>((resolve) => {
    let cause = "the thread has ended";
    worker.on("error", ({ message }: Error) => {
      cause = message;
    });
    worker.once("exit", () => {
      over = new SqlError("SQLITE_IOERR_THREAD", cause, true);
      for (const { number, reject } of asked.values()) {
        asked.delete(number);
        reject(over);
      }
      resolve(over);
    });
  });

  function settle(number: number, answer: Answer): void {
    const waiting = asked.get(number);
    asked.delete(number);
    if (answer.failure === undefined) waiting?.resolve(answer);
    else waiting?.reject(errorOf(answer.failure));
  }

  async function ask(task: Task): Promise<Answer> {
    if (over !== undefined) throw over;
    const number = ++last;
    return new Promise<Answer>((resolve, reject) => {
      asked.set(number, { number, resolve, reject });
      worker.postMessage({ number, task } satisfies Order);
    });
  }

  await Promise.race([opened, ended.then((error) => Promise.reject(error))]).catch(async (error: unknown) => {
    await ended;
    throw error;
  });
  void ended.then((error) => closing || onTrouble(error));
  return {
    get ended() {
      return over !== undefined;
    },
    ask,
    async close() {
      closing = true;
      await ask({ kind: "close" }).catch(() => undefined);
      await ended;
    },
  };
}

/** What a failure of the thread is here. */
export function errorOf({ code, message, disk }: Failure): SqlError {
  return new SqlError(code, message, disk);
}
