// One run of a script after another: each is sent once, answered or given up in bounded time, and sent anew only where it was not
// run.

import { createHash } from "node:crypto";
import type { Due } from "./due-list.js";
import type { RedisConnection } from "./redis.js";
import { isNoScript, RedisAwayError } from "./redis-errors.js";
import type { Lane } from "./redis-lane.js";
import { createTimeouts } from "./redis-timeouts.js";

/** A script and the name that Redis knows it by. */
export interface Script {
  readonly text: string;
  readonly sha: string;
}

export function defineScript(text: string): Script {
  return { text, sha: createHash("sha1").update(text).digest("hex") };
}

/** One run of a script. All keys are in `slot`. */
export interface ScriptCall {
  readonly script: Script;
  readonly slot: number;
  readonly keys: readonly string[];
  readonly args: readonly string[];
  /** Arguments before the others that depend on the time: asked for when the call is sent. */
  readonly firstArgs?: () => readonly string[];
}

/** What a script answers: any first element, then Redis' time in ms, then what the script has to say. */
export type ScriptAnswer = readonly [number, number, ...(string | number)[]];

/** Runs scripts on servers. */
export interface ScriptRuns {
  /** As `ScriptRunner.run`, whatever is known of the server; it is told what came of it. */
  start(lane: Lane, call: ScriptCall): Promise<ScriptAnswer>;
}

interface Run extends Due {
  readonly call: ScriptCall;
  readonly lane: Lane;
  readonly resolve: (answer: ScriptAnswer) => void;
  readonly reject: (error: Error) => void;
  /** What is sent: the script, the number of keys, the keys, the arguments. */
  words: string[];
  sentAt: number;
  settled: boolean;
  attempts: number;
  /** What `lane.loads` said when the script was sent by its hash. */
  loads: number;
}

/** Times that a call is sent while the server keeps forgetting its script. The last one brings the text along. */
const maxAttempts = 4;

/** Gives up each run after `timeoutMs`. */
export function createScriptRuns(
  { redis }: { readonly redis: Pick<RedisConnection, "send"> },
  { timeoutMs }: { readonly timeoutMs: number },
): ScriptRuns {
  let unsent: Run[] = [];
  const timeouts = createTimeouts<Run>(timeoutMs, (run) => {
    settle(run, undefined, new RedisAwayError("timeout", "Redis did not answer in time"));
  });

  function start(lane: Lane, call: ScriptCall): Promise<ScriptAnswer> {
    return new Promise((resolve, reject) => {
      const run: Run = {
        call,
        lane,
        resolve,
        reject,
        words: nothing,
        sentAt: 0,
        settled: false,
        attempts: 0,
        loads: 0,
        dueAt: 0,
        before: undefined,
        after: undefined,
      };
      lane.inFlight++;
      if (unsent.push(run) === 1) setImmediate(sendAll);
    });
  }

  function settle(run: Run, answer: ScriptAnswer | undefined, error?: unknown): void {
    run.settled = true;
    if (answer === undefined) return run.reject(run.lane.failed(error));
    run.lane.answered(answer[1], run.sentAt);
    run.resolve(answer);
  }

  function sendAll(): void {
    const runs = unsent;
    unsent = [];
    for (const run of runs) {
      run.words = wordsOf(run.call);
      timeouts.add(run);
      send(run);
    }
  }

  function send(run: Run): void {
    const { lane, words } = run;
    const { script } = run.call;
    const full = ++run.attempts === maxAttempts || (run.attempts > 1 && run.loads === loadsOf(lane, script));
    if (full) lane.loads.set(script.sha, loadsOf(lane, script) + 1);
    run.loads = loadsOf(lane, script);
    run.sentAt = performance.now();
    words[0] = full ? script.text : script.sha;
    redis.send(lane.name, full ? "eval" : "evalsha", words).then(
      (answer) => end(run, answer as ScriptAnswer),
      (error: unknown) => end(run, undefined, error),
    );
  }

  function end(run: Run, answer: ScriptAnswer | undefined, error?: unknown): void {
    // Nothing was run. Of many that learn this together, the first to send again brings the text for all.
    if (isNoScript(error) && run.attempts < maxAttempts && !run.settled) return send(run);
    run.lane.inFlight--;
    if (run.settled) return;
    timeouts.remove(run);
    settle(run, answer, error);
  }

  return { start };
}

/** Of a run that was not sent yet. */
const nothing: string[] = [];

function wordsOf({ script, keys, firstArgs, args }: ScriptCall): string[] {
  const words = [script.sha, String(keys.length)];
  for (const key of keys) words.push(key);
  if (firstArgs !== undefined) for (const arg of firstArgs()) words.push(arg);
  for (const arg of args) words.push(arg);
  return words;
}

function loadsOf(lane: Lane, script: Script): number {
  return lane.loads.get(script.sha) ?? 0;
}
