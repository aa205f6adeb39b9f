// How long calls take, told by whoever makes them: the part that is called is as it was.

/** Told of each call once it has ended. Must not throw, and must be quick: calls of the hot path are timed. */
export interface CallTimer {
  answered(tookMs: number, answer: unknown): void;
  failed(tookMs: number, error: unknown): void;
}

/** Methods that can be timed: those that promise something. */
type Timed<T> = { [K in keyof T]: T[K] extends (...args: never[]) => Promise<unknown> ? K : never }[keyof T];

/** `part` with a timer on some of its methods. Its callers get the very promises that it makes. */
export function timed<T extends object>(
  part: T,
  methods: readonly (Timed<T> & string)[],
  timerOf: (method: string) => CallTimer,
): T {
  const calls = methods.map((name) => [name, timedCall(part, part[name] as Call, timerOf(name))] as const);
  return { ...part, ...Object.fromEntries(calls) };
}

type Call = (...args: unknown[]) => Promise<unknown>;

function timedCall(part: object, call: Call, timer: CallTimer): Call {
  return (...args) => {
    const startedAt = performance.now();
    const answer = call.apply(part, args);
    answer.then(
      (value) => timer.answered(performance.now() - startedAt, value),
      (error: unknown) => timer.failed(performance.now() - startedAt, error),
    );
    return answer;
  };
}
