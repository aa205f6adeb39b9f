// Which of an actor's users a limit of each user is of.

import { hash } from "node:crypto";
import type { EndUser } from "../actors/actor.js";

/**
 * Stands for the user in names of counters: short, whatever the id. Requests whose user was not told are of one user, who is
 * nobody else.
 */
export function memberOf(user: EndUser | undefined): string {
  if (user?.id !== undefined && user.id !== "none") return stand("id", user.id);
  if (user?.anonymousId !== undefined) return stand("anonymous", user.anonymousId);
  return "nobody";
}

function stand(kind: string, id: string): string {
  return hash("sha256", `${kind} ${id}`, "base64url").slice(0, 16);
}
