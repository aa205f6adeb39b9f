// Running scripts in bounded time, on one server or many, and staying away from those that do not answer.

import { createHash } from "node:crypto";
import { type Breaker, createBreaker } from "./breaker.js";
import type { Due } from "./due-list.js";
import type { RedisConnection } from "./redis.js";
import { createRemoteClock, type RemoteClock } from "./redis-clock.js";
import { isNoScript, RedisAwayError, readRedisError } from "./redis-errors.js";
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

/** One server, as it is seen from here. */
export interface ServerState {
  readonly name: string;
  /** Whether it is asked: it answered once, and of late. */
  readonly up: boolean;
  /** Commands without an answer, also those that nobody waits for any more. */
  readonly inFlight: number;
}

/** When a server was heard of, by the monotonic clock. */
export interface Contact {
  /** Its last answer; undefined: none came yet. */
  readonly lastAt: number | undefined;
  /** Whether it was asked in vain since then. */
  readonly failed: boolean;
  /** Since when no two answers were further apart than `silentMs`; undefined: they never were. */
  readonly since: number | undefined;
}

export interface ScriptRunner {
  /**
   * Sent at the end of this turn of the event loop, together with what else there is by then. Throws `RedisAwayError` no
   * later than `timeoutMs` after that, and at once while the server is known to be away. What this process itself is late
   * by is not held against Redis.
   */
  run(call: ScriptCall): Promise<ScriptAnswer>;
  /** The clock of the server that has the slot. */
  clockOf(slot: number): Pick<RemoteClock, "now" | "latest" | "known">;
  /** How the server that has the slot was heard of. */
  contact(slot: number): Contact;
  /** Servers that were asked so far. */
  servers(): readonly ServerState[];
  /** Stops asking whether servers are back. */
  stop(): void;
}

export interface ScriptRunnerParts {
  readonly redis: RedisConnection;
  /** What will be run: servers are told at once when they are connected to. */
  readonly scripts: readonly Script[];
  /** A harmless call that shows whether real ones would be answered. Asked of a slot of the server in doubt. */
  readonly probe: (slot: number) => ScriptCall;
  /** The slots that calls are made in. */
  readonly slots: readonly number[];
  /** A server is asked again, or no more. Must not throw. */
  readonly onChange?: (servers: readonly ServerState[]) => void;
}

export interface ScriptRunnerOptions {
  /** Default 100 ms. */
  readonly timeoutMs?: number;
  /** Most commands without an answer on one connection. Default 2,000. */
  readonly maxInFlight?: number;
  /** A server that says nothing for longer was away. Default 15 s. */
  readonly silentMs?: number;
}

/** A server and what is known of it. */
interface Lane {
  readonly name: string;
  readonly clock: RemoteClock;
  readonly breaker: Breaker;
  inFlight: number;
  answered: boolean;
  answeredAt: number;
  failed: boolean;
  since: number | undefined;
  lastError: unknown;
  /** How often each script was sent in full, by its hash. */
  readonly loads: Map<string, number>;
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
/** Time between two looks at what servers there are. In doubt each looks for an answer: ten in a row come within a second. */
const tendMs = 50;
/** A server that has been asked nothing for so long is asked the time. */
const quietMs = 2_000;

export function createScriptRunner(parts: ScriptRunnerParts, options: ScriptRunnerOptions = {}): ScriptRunner {
  const { redis, scripts, probe, slots, onChange } = parts;
  const { timeoutMs = 100, maxInFlight = 2_000, silentMs = 15_000 } = options;
  const lanes = new Map<string, Lane>();
  let unsent: Run[] = [];
  const timeouts = createTimeouts<Run>(timeoutMs, (run) => {
    settle(run, undefined, new RedisAwayError("timeout", "Redis did not answer in time"));
  });

  function laneOf(name: string): Lane {
    return lanes.get(name) ?? addLane(name);
  }

  function addLane(name: string): Lane {
    const lane: Lane = {
      name,
      clock: createRemoteClock(),
      breaker: createBreaker({ probe: () => ask(lane), onChange: () => onChange?.(servers()) }),
      inFlight: 0,
      answered: false,
      answeredAt: 0,
      failed: false,
      since: undefined,
      lastError: undefined,
      loads: new Map(),
    };
    lanes.set(name, lane);
    return lane;
  }

  /** Asks a server something harmless, whatever is known of it. */
  async function ask(lane: Lane): Promise<void> {
    const slot = slots.find((each) => redis.serverOf(each) === lane.name);
    if (slot === undefined) {
      // It has none of our slots any more.
      lane.breaker.stop();
      lanes.delete(lane.name);
      onChange?.(servers());
      return;
    }
    await start(lane, probe(slot));
  }

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
    if (answer === undefined) return run.reject(noteFailure(run.lane, error));
    noteAnswer(run, answer[1]);
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

  function noteAnswer({ lane, sentAt }: Run, now: number): void {
    lane.clock.learn(now, sentAt);
    lane.breaker.succeeded();
    const at = performance.now();
    if (lane.answered ? at - lane.answeredAt > silentMs : lane.failed) lane.since = at;
    lane.answeredAt = at;
    lane.failed = false;
    lane.lastError = undefined;
    if (lane.answered) return;
    lane.answered = true;
    prepare(lane.name);
    onChange?.(servers());
  }

  function noteFailure(lane: Lane, error: unknown): Error {
    const read = readRedisError(error);
    if (read instanceof RedisAwayError) {
      // What the server said tells more than that it cannot be asked since.
      if (read.reason === "refused" || lane.lastError === undefined) lane.lastError = read.cause ?? read;
      lane.breaker.failed();
      lane.failed = true;
    } else lane.breaker.succeeded();
    return read;
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

  /** The servers that have our slots. */
  function ours(): readonly Lane[] {
    return [...new Set(slots.map((slot) => redis.serverOf(slot)))].map(laneOf);
  }

  function servers(): readonly ServerState[] {
    return ours().map(({ name, answered, breaker, inFlight }) => ({ name, up: answered && !breaker.open, inFlight }));
  }

  redis.onReady((name) => {
    const lane = lanes.get(name);
    if (lane === undefined) return;
    lane.clock.relearn();
    lane.breaker.hint();
    prepare(name);
  });

  /** One that could not be told learns each script when it is run. */
  function prepare(name: string): void {
    const texts = scripts.map(({ text }) => text);
    redis.load(name, texts).catch(() => undefined);
  }

  /**
   * Asks servers that are not known yet, those that nobody asked for long what time it is there, and those that failed last
   * whether they are away: callers who come rarely would take long to find out, and each would wait.
   */
  const tending = setInterval(() => {
    for (const lane of ours()) if (!lane.breaker.open && needsAsking(lane)) ask(lane).catch(() => undefined);
  }, tendMs).unref();

  return {
    run(call) {
      const lane = laneOf(redis.serverOf(call.slot));
      if (lane.breaker.open)
        return Promise.reject(new RedisAwayError("open", "Redis is away", { cause: lane.lastError }));
      if (lane.inFlight >= maxInFlight)
        return Promise.reject(new RedisAwayError("full", "too many calls to Redis in flight"));
      return start(lane, call);
    },
    clockOf: (slot) => laneOf(redis.serverOf(slot)).clock,
    contact(slot) {
      const { answered, answeredAt, failed, since } = laneOf(redis.serverOf(slot));
      return { lastAt: answered ? answeredAt : undefined, failed, since };
    },
    servers,
    stop() {
      clearInterval(tending);
      for (const { breaker } of lanes.values()) breaker.stop();
    },
  };
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

function needsAsking({ answered, answeredAt, lastError }: Lane): boolean {
  return !answered || lastError !== undefined || performance.now() - answeredAt > quietMs;
}

function loadsOf(lane: Lane, script: Script): number {
  return lane.loads.get(script.sha) ?? 0;
}
