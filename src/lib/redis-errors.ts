/** Why Redis could not be asked, or did not answer in time. */
export type AwayReason =
  /** No answer in time. What was asked may still have been done. */
  | "timeout"
  /** No connection, or it broke before the answer. What was asked may have been done. */
  | "connection"
  /** Redis said that it cannot do it now; nothing was done. */
  | "refused"
  /** So much went wrong of late that it was not asked. */
  | "open"
  /** So many calls wait for their answers that it was not asked. */
  | "full";

/** Redis is away for now. `cause` is what it or the network said. */
export class RedisAwayError extends Error {
  override readonly name = "RedisAwayError";
  constructor(
    readonly reason: AwayReason,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/**
 * What servers answer that cannot serve just now, or not us: loading, replica, full, cannot save, master gone, slots not
 * covered, slot under way, another script running, not signed in.
 */
const notNow =
  /^(LOADING|READONLY|OOM|MISCONF|MASTERDOWN|NOREPLICAS|CLUSTERDOWN|TRYAGAIN|MOVED|ASK|BUSY|NOAUTH|WRONGPASS|NOPERM|UNKILLABLE)\b/;

/** What an error of a call means: `RedisAwayError` when Redis is away, else the error itself: the call was wrong. */
export function readRedisError(error: unknown): Error {
  if (error instanceof RedisAwayError) return error;
  // Arguments do not belong in logs.
  if (error instanceof Error && "command" in error) delete error.command;
  if (!(error instanceof Error)) return new RedisAwayError("connection", "Redis connection failed", { cause: error });
  // Errors inside scripts have the command's own error in front, or behind "ERR ".
  const said = error.message.replace(/^ERR /, "");
  if (notNow.test(said)) return new RedisAwayError("refused", "Redis cannot serve now", { cause: error });
  return error.name === "ReplyError"
    ? error
    : new RedisAwayError("connection", "Redis connection failed", { cause: error });
}

export function isNoScript(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith("NOSCRIPT");
}
