// How the server has handlers write messages of a streamed answer past Connect, whose own way costs each of them dozens of
// promises and a write of its own: several times what it takes to make it.

import type { Message } from "@bufbuild/protobuf";
import { type ContextValues, createContextKey } from "@connectrpc/connect";

/** The response of a call, once Connect has begun to answer. */
export interface Outlet {
  /**
   * Writes messages as Connect would, all at once, up to the first that only Connect can write; says how many. To be called
   * only while Connect waits for a message: everything before has been written then.
   */
  write(messages: readonly Message[]): number;
  /** Whether more would wait in memory. */
  isFull(): boolean;
  /** Calls back once, when it is full no more. */
  onDrain(callback: () => void): void;
}

const outletKey = createContextKey<Outlet | undefined>(undefined, { description: "where messages can be written" });

/** Puts it among the values of its call. */
export function setOutlet(values: ContextValues, outlet: Outlet): void {
  values.set(outletKey, outlet);
}

/** Undefined: all messages go by way of Connect. */
export function outletOf(values: ContextValues): Outlet | undefined {
  return values.get(outletKey);
}
