// What tells sinks of one kind apart: where they send to, without what is secret of it.

import { hash } from "node:crypto";

/** A key for a sink of that kind: short, printable, and the same wherever the same target is configured. */
export function targetKey(kind: string, target: string): string {
  return `${kind}-${hash("sha256", target).slice(0, 12)}`;
}

/** A URL without user, password, query and fragment. */
export function bareUrl(url: string): string {
  const { protocol, host, pathname } = new URL(url);
  return `${protocol}//${host}${pathname}`;
}
