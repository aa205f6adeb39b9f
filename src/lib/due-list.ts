/** Something to be looked at when its time comes. A node is in one list at most. */
export interface Due {
  /** ms, by the clock of whoever made it. */
  dueAt: number;
  /** Neighbours in the list; they are the list's own. */
  before: Due | undefined;
  after: Due | undefined;
}

/** Nodes in the order they were added, which is the order they fall due when every node waits equally long. */
export interface DueList<T extends Due> {
  readonly size: number;
  readonly first: T | undefined;
  add(node: T): void;
  remove(node: T): void;
}

/** A doubly linked list through the nodes: adding, removing and taking the first cost the same for any size. */
export function createDueList<T extends Due>(): DueList<T> {
  let size = 0;
  let first: T | undefined;
  let last: T | undefined;
  return {
    get size() {
      return size;
    },
    get first() {
      return first;
    },
    add(node) {
      node.before = last;
      node.after = undefined;
      if (last === undefined) first = node;
      else last.after = node;
      last = node;
      size++;
    },
    remove(node) {
      if (node.before === undefined) first = node.after as T | undefined;
      else node.before.after = node.after;
      if (node.after === undefined) last = node.before as T | undefined;
      else node.after.before = node.before;
      // Nodes that are over must not hold those that came after them: once one was old, all would live on with it.
      node.before = undefined;
      node.after = undefined;
      size--;
    },
  };
}
