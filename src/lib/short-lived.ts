// Collections of what comes and goes with every request. V8's own keep too much: a Map or Set that has had many members moves to
// another table now and then, and links the table it leaves, with all that was in it, to the next. Once one such table is old,
// whatever passes through the later ones lives until all memory is collected. Measured: a fifth of what a request cost.

/** What can be a member of a `ShortLivedSet`, of one at a time. */
export interface Placed {
  /** The set's own; below 0 while it is in none. */
  place: number;
}

/** Members in no particular order. Adding and deleting cost the same for any size. */
export interface ShortLivedSet<T extends Placed> extends Iterable<T> {
  readonly size: number;
  /** The member is in no set. */
  add(member: T): void;
  has(member: T): boolean;
  /** Whether it was a member. */
  delete(member: T): boolean;
  /** Each member once. Those deleted meanwhile are not met any more, those added meanwhile are left out. */
  [Symbol.iterator](): Iterator<T>;
}

export function createShortLivedSet<T extends Placed>(): ShortLivedSet<T> {
  const members: T[] = [];
  return {
    get size() {
      return members.length;
    },
    add(member) {
      member.place = members.length;
      members.push(member);
    },
    has: (member) => members[member.place] === member,
    delete(member) {
      const { place } = member;
      if (members[place] !== member) return false;
      const last = members.pop() as T;
      if (last !== member) {
        members[place] = last;
        last.place = place;
      }
      member.place = -1;
      return true;
    },
    // Of a copy: where one is deleted, another takes its place.
    *[Symbol.iterator]() {
      for (const member of members.slice()) if (members[member.place] === member) yield member;
    },
  };
}

/** A map whose values are let go of when they are deleted. Keys are short texts or numbers: they may stay for a while. */
export interface ShortLivedMap<K extends string | number, V> {
  readonly size: number;
  get(key: K): V | undefined;
  set(key: K, value: V): void;
  delete(key: K): void;
  /** In the order they were set. */
  values(): Iterable<V>;
}

export function createShortLivedMap<K extends string | number, V>(): ShortLivedMap<K, V> {
  // What a table that was left still holds are boxes, which are empty then.
  const boxes = new Map<K, { value: V | undefined }>();
  return {
    get size() {
      return boxes.size;
    },
    get: (key) => boxes.get(key)?.value,
    set(key, value) {
      const box = boxes.get(key);
      if (box) box.value = value;
      else boxes.set(key, { value });
    },
    delete(key) {
      const box = boxes.get(key);
      if (box === undefined) return;
      box.value = undefined;
      boxes.delete(key);
    },
    *values() {
      for (const { value } of boxes.values()) yield value as V;
    },
  };
}
