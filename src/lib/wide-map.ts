/** What a `Map` by texts has, too, but that the order of entries says nothing. */
export interface WideMap<V> {
  readonly size: number;
  get(key: string): V | undefined;
  has(key: string): boolean;
  set(key: string, value: V): void;
  delete(key: string): void;
  keys(): Iterable<string>;
  values(): Iterable<V>;
}

/** Enough for a hundred thousand entries to be some hundred in each. */
const width = 256;
/** Letters of a key that say which part it belongs to. */
const sampled = 16;

/**
 * A map for many thousands of entries that come one by one. A single map copies all it has whenever it is full, which holds up
 * everybody else for 10 ms and more; here parts are full at different times, and small.
 */
export function createWideMap<V>(): WideMap<V> {
  const parts = Array.from({ length: width }, () => new Map<string, V>());
  const partOf = (key: string): Map<string, V> => parts[spread(key)] as Map<string, V>;
  return {
    get size() {
      return parts.reduce((sum, { size }) => sum + size, 0);
    },
    get: (key) => partOf(key).get(key),
    has: (key) => partOf(key).has(key),
    set: (key, value) => void partOf(key).set(key, value),
    delete: (key) => void partOf(key).delete(key),
    *keys() {
      for (const part of parts) yield* part.keys();
    },
    *values() {
      for (const part of parts) yield* part.values();
    },
  };
}

/** A part for each key: FNV-1a (http://www.isthe.com/chongo/tech/comp/fnv/) of letters from all over it. */
function spread(key: string): number {
  const step = Math.ceil(key.length / sampled);
  let hash = 0x811c9dc5;
  for (let at = key.length - 1; at >= 0; at -= step) hash = Math.imul(hash ^ key.charCodeAt(at), 0x01000193);
  return (hash ^ (hash >>> 15)) & (width - 1);
}
