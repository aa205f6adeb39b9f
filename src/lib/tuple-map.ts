/** A map by several texts together. Looking up makes no text of them, as one key for all would. */
export interface TupleMap<T> {
  get(keys: readonly string[]): T | undefined;
  set(keys: readonly string[], value: T): void;
  size(): number;
  /** In the order in which they were set first. */
  values(): Iterable<T>;
}

/** Keys of one map have all the same length. */
export function createTupleMap<T>(): TupleMap<T> {
  const root = createNode<T>();
  const nodes: Node<T>[] = [];
  const find = (keys: readonly string[]): Node<T> | undefined => {
    let node: Node<T> | undefined = root;
    for (let at = 0; node !== undefined && at < keys.length; at++) node = node.next.get(keys[at] as string);
    return node;
  };
  return {
    get: (keys) => find(keys)?.value,
    set(keys, value) {
      let node = root;
      for (const key of keys) {
        const next = node.next.get(key) ?? createNode<T>();
        node.next.set(key, next);
        node = next;
      }
      if (node.value === undefined) nodes.push(node);
      node.value = value;
    },
    size: () => nodes.length,
    values: () => nodes.map(({ value }) => value as T),
  };
}

interface Node<T> {
  value: T | undefined;
  readonly next: Map<string, Node<T>>;
}

function createNode<T>(): Node<T> {
  return { value: undefined, next: new Map() };
}
