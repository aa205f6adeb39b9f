// What repeats itself in this process. Node does not tell of it: hundreds of intervals that nobody waits for keep a core busy.

const key = Symbol.for("cody-gateway.test.intervals");
type Watched = typeof globalThis & { [key]?: Map<unknown, Error> };

/** The intervals that are under way, each with what was made where it was begun: to read its stack takes a while. */
export function intervals(): ReadonlyMap<unknown, Error> {
  return underWay;
}

/** Set up once a process, however often this file is read. */
const underWay = ((globalThis as Watched)[key] ??= watch());

function watch(): Map<unknown, Error> {
  const found = new Map<unknown, Error>();
  const { setInterval: begin, clearInterval: end, clearTimeout: endToo } = globalThis;
  globalThis.setInterval = (...args: Parameters<typeof begin>) => {
    const timer = begin(...args);
    found.set(timer, new Error("begun"));
    return timer;
  };
  globalThis.clearInterval = (timer) => {
    found.delete(timer);
    end(timer);
  };
  globalThis.clearTimeout = (timer) => {
    found.delete(timer);
    endToo(timer);
  };
  return found;
}
