import { randomUUID } from "node:crypto";

const wellFormed = /^[A-Za-z0-9._-]{1,64}$/;

/** The caller's own id where it is safe to repeat in headers and logs, else a new one. */
export function requestIdOf(given: string | string[] | undefined): string {
  return typeof given === "string" && wellFormed.test(given) ? given : newRequestId();
}

/** An id that nobody else has. */
export function newRequestId(): string {
  return randomUUID();
}
