// Running scripts in bounded time, on one server or many, and staying away from those that do not answer.

import type { RedisConnection } from "./redis.js";
import type { RemoteClock } from "./redis-clock.js";
import { RedisAwayError } from "./redis-errors.js";
import { type Contact, createLane, type Lane, type ServerState } from "./redis-lane.js";
import { createScriptRuns, type Script, type ScriptAnswer, type ScriptCall } from "./redis-runs.js";

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

/** Time between two looks at what servers there are. In doubt each looks for an answer: ten in a row come within a second. */
const tendMs = 50;

/** Runs scripts on whichever server has their keys. */
export function createScriptRunner(parts: ScriptRunnerParts, options: ScriptRunnerOptions = {}): ScriptRunner {
  const { redis, scripts, probe, slots, onChange } = parts;
  const { timeoutMs = 100, maxInFlight = 2_000, silentMs = 15_000 } = options;
  const lanes = new Map<string, Lane>();
  const runs = createScriptRuns({ redis }, { timeoutMs });

  function laneOf(name: string): Lane {
    return lanes.get(name) ?? addLane(name);
  }

  function addLane(name: string): Lane {
    const lane: Lane = createLane(
      {
        name,
        probe: () => ask(lane),
        onChange: () => onChange?.(servers()),
        onFirst() {
          prepare(name);
          onChange?.(servers());
        },
      },
      { silentMs },
    );
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
    await runs.start(lane, probe(slot));
  }

  /** The servers that have our slots. */
  function ours(): readonly Lane[] {
    return [...new Set(slots.map((slot) => redis.serverOf(slot)))].map(laneOf);
  }

  function servers(): readonly ServerState[] {
    return ours().map((lane) => lane.state());
  }

  redis.onReady((name) => {
    const lane = lanes.get(name);
    if (lane === undefined) return;
    lane.connected();
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
    for (const lane of ours()) if (!lane.breaker.open && lane.needsAsking()) ask(lane).catch(() => undefined);
  }, tendMs).unref();

  return {
    run(call) {
      const lane = laneOf(redis.serverOf(call.slot));
      if (lane.breaker.open)
        return Promise.reject(new RedisAwayError("open", "Redis is away", { cause: lane.lastError }));
      if (lane.inFlight >= maxInFlight)
        return Promise.reject(new RedisAwayError("full", "too many calls to Redis in flight"));
      return runs.start(lane, call);
    },
    clockOf: (slot) => laneOf(redis.serverOf(slot)).clock,
    contact: (slot) => laneOf(redis.serverOf(slot)).contact(),
    servers,
    stop() {
      clearInterval(tending);
      for (const { breaker } of lanes.values()) breaker.stop();
    },
  };
}
