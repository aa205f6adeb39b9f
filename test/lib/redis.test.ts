import { afterEach, describe, expect, it, vi } from "vitest";
import { redisOptions } from "../../src/lib/redis.js";
import { createRemoteClock } from "../../src/lib/redis-clock.js";
import { parseRedisEndpoint } from "../../src/lib/redis-endpoint.js";
import { isNoScript, RedisAwayError, readRedisError } from "../../src/lib/redis-errors.js";
import { createTimeouts } from "../../src/lib/redis-timeouts.js";

describe("a Redis endpoint", () => {
  const local = { host: "localhost", port: 6379 };
  it.each([
    ["redis.internal:6380", { kind: "single", servers: [{ host: "redis.internal", port: 6380 }], tls: false }],
    ["[::1]:6379", { kind: "single", servers: [{ host: "::1", port: 6379 }], tls: false }],
    ["redis://localhost", { kind: "single", servers: [local], tls: false }],
    ["redis://localhost/", { kind: "single", servers: [local], tls: false }],
    ["rediss://localhost:1/2", { kind: "single", servers: [{ host: "localhost", port: 1 }], db: 2, tls: true }],
    ["redis://:p%40ss@localhost", { kind: "single", servers: [local], password: "p@ss", tls: false }],
    ["redis://me:a:b@localhost", { kind: "single", servers: [local], username: "me", password: "a:b", tls: false }],
    [
      "redis+sentinel://a,b:1/main",
      {
        kind: "sentinel",
        servers: [
          { host: "a", port: 26_379 },
          { host: "b", port: 1 },
        ],
        name: "main",
        tls: false,
      },
    ],
    [
      "redis+cluster://me:pw@a:1,[::1]:2",
      {
        kind: "cluster",
        servers: [
          { host: "a", port: 1 },
          { host: "::1", port: 2 },
        ],
        username: "me",
        password: "pw",
        tls: false,
      },
    ],
    ["rediss+cluster://a/", { kind: "cluster", servers: [{ host: "a", port: 6379 }], tls: true }],
  ])("is read: %s", (text, endpoint) => {
    expect(parseRedisEndpoint(text)).toEqual(endpoint);
  });

  it.each([
    "",
    "localhost",
    "localhost:0",
    "localhost:70000",
    "http://localhost",
    "redis://",
    "redis://localhost/x",
    "redis://name@localhost",
    "redis://:%E0%A4%A@localhost",
    "redis+sentinel://localhost",
    "redis+cluster://a,",
    "redis+cluster://a/0",
    "redis://a,b",
  ])("is refused without telling what was given: %s", (text) => {
    expect(() => parseRedisEndpoint(text)).toThrow(
      "not a Redis endpoint: expected host:port, redis://…, rediss://…, redis+sentinel://host,host/name or redis+cluster://host,host",
    );
  });
});

describe("the options of a Redis connection", () => {
  const options = redisOptions(parseRedisEndpoint("rediss://me:pw@localhost/3"), "quota");

  it("send nothing later or twice, and bound every wait", () => {
    expect(options).toMatchObject({
      commandTimeout: 400,
      connectTimeout: 500,
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      autoResendUnfulfilledCommands: false,
      enableReadyCheck: true,
      connectionName: "cody-gateway:quota",
      username: "me",
      password: "pw",
      db: 3,
      tls: {},
    });
  });

  it("never stop connecting, soon at first and within a second for ever", () => {
    const waits = [1, 2, 3, 10, 1_000].map(options.retryStrategy);
    expect(waits[0]).toBeLessThanOrEqual(150);
    for (const wait of waits) expect(wait).toBeLessThan(400);
  });

  it("reconnect to a server that became a replica, and for nothing else", () => {
    expect(options.reconnectOnError(new Error("READONLY You can't write against a read only replica."))).toBe(true);
    expect(options.reconnectOnError(new Error("OOM command not allowed"))).toBe(false);
  });
});

describe("a remote clock", () => {
  function make() {
    let at = 1_000;
    const clock = createRemoteClock({ monotonic: () => at, windowMs: 100, wall: () => 7 });
    return {
      clock,
      pass: (ms: number) => (at += ms),
      /** An answer that shows this time, to a question that took so long to get there and back. */
      answer: (remoteMs: number, thereMs = 0, backMs = 0) => clock.learn(remoteMs, at - thereMs - backMs),
      read: () => [clock.now(), clock.latest()],
    };
  }

  it("is this machine's until it is learned", () => {
    const { clock, answer, read } = make();
    expect([clock.known, ...read()]).toEqual([false, 7, 7]);
    answer(50_000);
    expect([clock.known, ...read()]).toEqual([true, 50_000, 50_001]);
  });

  it("goes on by the monotonic clock", () => {
    const { answer, pass, read } = make();
    answer(50_000);
    pass(33);
    expect(read()).toEqual([50_033, 50_034]);
  });

  it("believes the answers that took least time, of those of late", () => {
    const { answer, pass, read } = make();
    answer(50_000, 0, 5);
    expect(read()).toEqual([50_000, 50_006]);
    pass(10);
    // Took 8 ms longer to get back: says nothing new about the earliest, and much about the latest.
    answer(50_007, 1, 13);
    expect(read()).toEqual([50_010, 50_016]);
    pass(10);
    answer(50_024, 1, 1);
    expect(read()).toEqual([50_024, 50_026]);
  });

  it("follows a clock that was set, forward and back, at once", () => {
    const { answer, pass, read } = make();
    answer(50_000, 1, 1);
    pass(10);
    answer(90_000, 1, 1);
    expect(read()).toEqual([90_000, 90_003]);
    pass(10);
    answer(40_000, 1, 1);
    expect(read()).toEqual([40_000, 40_003]);
  });

  it("forgets what was learned long ago", () => {
    const { answer, pass, read } = make();
    answer(50_000, 1, 1);
    for (const time of [50_098, 50_198, 50_298]) {
      pass(100);
      answer(time, 5, 5);
    }
    expect(read()).toEqual([50_298, 50_309]);
  });

  it("starts anew when told so, and goes on meanwhile", () => {
    const { clock, answer, pass, read } = make();
    answer(50_000, 1, 1);
    clock.relearn();
    pass(1);
    expect(read()).toEqual([50_001, 50_004]);
    answer(50_000, 5, 5);
    expect(read()).toEqual([50_000, 50_011]);
  });
});

describe("errors of Redis", () => {
  const reply = (message: string): Error =>
    Object.assign(new Error(message), { name: "ReplyError", command: { args: ["secret"] } });

  it.each([
    "LOADING Redis is loading the dataset in memory",
    "READONLY You can't write against a read only replica.",
    "OOM command not allowed when used memory > 'maxmemory'.",
    "MISCONF Redis is configured to save RDB snapshots",
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "NOREPLICAS Not enough good replicas to write.",
    "CLUSTERDOWN Hash slot not served",
    "TRYAGAIN Multiple keys request during rehashing of slot",
    "BUSY Redis is busy running a script.",
    "NOAUTH Authentication required.",
    "WRONGPASS invalid username-password pair or user is disabled.",
    "NOPERM this user has no permissions to run the 'xadd' command",
    "ERR OOM inside a script",
  ])("that mean not now: %s", (message) => {
    expect(readRedisError(reply(message))).toMatchObject({
      name: "RedisAwayError",
      reason: "refused",
      cause: { message },
    });
  });

  it("that are about the call stay what they are, without its arguments", () => {
    const error = readRedisError(reply("WRONGTYPE Operation against a key holding the wrong kind of value"));
    expect(error).not.toBeInstanceOf(RedisAwayError);
    expect(JSON.stringify(error, Object.getOwnPropertyNames(error))).not.toContain("secret");
  });

  it.each([new Error("Connection is closed."), "thrown"])("of the connection mean away: %s", (error) => {
    expect(readRedisError(error)).toMatchObject({ name: "RedisAwayError", reason: "connection", cause: error });
  });

  it("tell of a script that is not known", () => {
    expect(isNoScript(reply("NOSCRIPT No matching script. Please use EVAL."))).toBe(true);
    expect(isNoScript(reply("ERR no"))).toBe(false);
  });
});

describe("timeouts", () => {
  const item = (name: string) => ({ name, dueAt: 0, before: undefined, after: undefined });

  afterEach(() => vi.useRealTimers());

  it("call back for what is not removed in time, in order", async () => {
    vi.useFakeTimers();
    const ended: string[] = [];
    const timeouts = createTimeouts<ReturnType<typeof item>>(100, ({ name }) => ended.push(name));
    const [a, b, c] = [item("a"), item("b"), item("c")];
    for (const each of [a, b, c]) {
      timeouts.add(each);
      await vi.advanceTimersByTimeAsync(40);
    }
    expect(ended).toEqual(["a"]);
    timeouts.remove(b);
    await vi.advanceTimersByTimeAsync(59);
    expect(ended).toEqual(["a"]);
    await vi.advanceTimersByTimeAsync(2);
    expect(ended).toEqual(["a", "c"]);
    timeouts.add(item("d"));
    await vi.advanceTimersByTimeAsync(101);
    expect(ended).toEqual(["a", "c", "d"]);
  });

  it("look at what came in first, when the process was busy", async () => {
    const asked = item("asked");
    let ended = false;
    const timeouts = createTimeouts<typeof asked>(20, () => {
      ended = true;
    });
    timeouts.add(asked);
    // An answer that came while the process was busy for twice the timeout: it is read after the timers.
    const busyUntil = performance.now() + 60;
    while (performance.now() < busyUntil);
    await new Promise<void>((resolve) => {
      setImmediate(() => {
        timeouts.remove(asked);
        resolve();
      });
    });
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(ended).toBe(false);
  });
});
