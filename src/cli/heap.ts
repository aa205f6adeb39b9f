import { getHeapStatistics, setFlagsFromString } from "node:v8";

const mebibyte = 2 ** 20;
/** What may come together of garbage beside a heap that is small, bytes. Buffers count. */
const room = 64 * mebibyte;
/** The same beside one that is large, per cent of it. */
const leastPercent = 50;
/** How often it is looked how large the heap is. */
const everyMs = 1_000;

/** What the heap may grow by before it is collected as a whole. */
export interface HeapBound {
  /** From now on it follows the size of the heap. Early in a process's life it would let more pile up than V8 does. */
  start(): void;
  /** Part of its size by which the heap may grow; undefined before the start: as V8 sees fit. */
  growth(): number | undefined;
  stop(): void;
}

/**
 * Says when V8 collects the whole heap: when it has grown by half since the last time, or by 64 MiB where that is more. By
 * itself V8 waits for several times what is in use on a large machine: each sync of a hundred thousand actors then leaves 50 MB
 * behind, up to half a gigabyte. A half alone is too little for a small heap: bodies of 200 KB have filled it after 65
 * requests, and to mark the heap costs as much as to serve them; with room for them, collecting what is young frees them.
 */
export function createHeapBound(): HeapBound {
  let percent: number | undefined;
  let timer: NodeJS.Timeout | undefined;

  function follow(): void {
    const next = Math.max(leastPercent, Math.round((100 * room) / getHeapStatistics().used_heap_size));
    if (next !== percent) setFlagsFromString(`--heap-growing-percent=${next}`);
    percent = next;
  }

  return {
    start() {
      follow();
      timer = setInterval(follow, everyMs).unref();
    },
    growth: () => (percent === undefined ? undefined : percent / 100),
    stop: () => clearInterval(timer),
  };
}
