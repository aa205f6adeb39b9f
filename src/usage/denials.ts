import { type RefusedActor, unknownActorId } from "../errors.js";
import { uniqueId } from "../lib/ids.js";
import { isoTime } from "../lib/iso-time.js";
import { noFeature, type UsageEvent } from "./event.js";

/** A request whose caller was not let in. */
export interface Denial {
  readonly requestId: string | undefined;
  readonly traceId: string | undefined;
  readonly edge: UsageEvent["edge"];
  readonly refused: RefusedActor;
  /** A word of `errors.ts`. */
  readonly reason: string;
  /** As the caller was told. */
  readonly why: string;
  readonly durationMs: number;
}

/** Makes usage events of requests whose callers were not let in, without letting those who hammer flood the sinks. */
export interface DenialEvents {
  /** Takes one. Never throws and never waits. */
  denied(denial: Denial): void;
  /** Tells what was not told yet, and stops. */
  close(): void;
}

export interface DenialEventsParts {
  readonly environment: string;
  /** `requestId`: of the request that the event tells of. */
  readonly emit: (event: UsageEvent, requestId: string | undefined) => void;
  /** A denial has no event of its own: another stands for it. Must not throw. */
  readonly onJoined: (reason: string) => void;
}

/** Denials of one actor and reason that come by one edge. */
interface Kind {
  readonly refused: RefusedActor;
  /** How many may have events of their own now. */
  left: number;
  /** The last of those that have none yet, when it came, and how many they are. */
  last: Denial;
  lastAt: number;
  more: number;
}

/** Events of one kind at once; after them there is one a second. */
const burst = 10;
/** Most kinds told apart by their actors; what comes on top counts as of nobody in particular of its source. */
const maxKinds = 100;

/**
 * Each denial is in exactly one event: the sum of `times` is how many there were. Whatever is asked, a process makes not much
 * more than a hundred events a second.
 */
export function createDenialEvents(
  { environment, emit, onJoined }: DenialEventsParts,
  { everyMs = 1_000 }: { readonly everyMs?: number } = {},
): DenialEvents {
  const kinds = new Map<string, Kind>();
  let timer: NodeJS.Timeout | undefined;

  const tell = (of: Kind, denial: Denial, at: number, times: number): void =>
    emit(eventOf({ ...denial, refused: of.refused }, { environment, at, times }), denial.requestId);

  const tick = (): void => {
    for (const [key, kind] of kinds) {
      if (kind.left === burst) kinds.delete(key);
      else if (kind.more === 0) kind.left++;
      else {
        tell(kind, kind.last, kind.lastAt, kind.more);
        kind.more = 0;
      }
    }
    if (kinds.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };

  const kindOf = (denial: Denial): Kind => {
    const { edge, refused, reason } = denial;
    const key = `${edge} ${reason} ${refused.source}/${refused.id}`;
    const kind = kinds.get(key);
    if (kind) return kind;
    if (kinds.size >= maxKinds && refused.id !== unknownActorId)
      return kindOf({ ...denial, refused: { source: refused.source, id: unknownActorId } });
    const opened = { refused, left: burst, last: denial, lastAt: 0, more: 0 };
    kinds.set(key, opened);
    timer ??= setInterval(tick, everyMs).unref();
    return opened;
  };

  return {
    denied(denial) {
      const kind = kindOf(denial);
      if (kind.left > 0) {
        kind.left--;
        return tell(kind, denial, Date.now(), 1);
      }
      kind.last = denial;
      kind.lastAt = Date.now();
      kind.more++;
      onJoined(denial.reason);
    },
    close() {
      clearInterval(timer);
      for (const kind of kinds.values()) if (kind.more > 0) tell(kind, kind.last, kind.lastAt, kind.more);
      kinds.clear();
    },
  };
}

function eventOf(denial: Denial, told: { environment: string; at: number; times: number }): UsageEvent {
  const { requestId, traceId, edge, refused, reason, why, durationMs } = denial;
  return {
    // With the caller's id alone, a caller who sends one twice would be counted once.
    id: requestId === undefined ? uniqueId() : `${requestId}.${uniqueId()}`,
    time: isoTime(told.at - durationMs),
    trace_id: traceId ?? "",
    environment: told.environment,
    actor: { id: refused.id, source: refused.source },
    feature: noFeature,
    edge,
    stream: false,
    outcome: "refused",
    reason,
    usage: {},
    charged: false,
    durationMs: Math.round(durationMs * 1000) / 1000,
    upstreamMs: 0,
    denied: { why, times: told.times },
  };
}
