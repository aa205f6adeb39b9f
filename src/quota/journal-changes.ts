// What of a quota's state is not in the database yet. Kept as what changed, not as what happened to it: what changes many times
// between two writes is written once, and what begins and ends between them never.

import type { Statement } from "../lib/database.js";
import type { Counter } from "./counters.js";
import { createRowWriter, type KnownRows, type Member } from "./journal-rows.js";
import { type OutboxKind, put, type RequestRow, remove } from "./journal-tables.js";
import type { ActorState, Changes, HoldState } from "./memory-state.js";
import { type AbandonedHold, groupOf } from "./store.js";

export interface JournalChangesOptions {
  /** How long requests of settled holds stay known, and how many at most, the newest. */
  readonly rememberMs: number;
  readonly maxRemembered: number;
  /** Whether the outbox is told how requests end. */
  readonly outbox: boolean;
}

export interface JournalChanges extends Changes {
  /** Whether anything is to be written. */
  readonly dirty: boolean;
  /** A hold of the request was settled. */
  remember(actor: string, requestId: string): void;
  /** The last of the abandoned holds that were told of, so many, were not: they wait again. */
  untold(count: number): void;
  /** The abandoned holds that were told of need not be kept any more. */
  forgetTold(): void;
  /** Takes all that is to be written, as it stands now. One batch at a time. */
  take(now: number): Batch;
}

export interface Batch {
  readonly statements: readonly Statement[];
  /** It was not written: what it is about has to be written again, as it stands then. */
  giveBack(): void;
}

/** What differs from the database. */
interface Pending {
  readonly actors: Set<ActorState>;
  readonly members: Map<Counter, Member>;
  readonly droppedActors: number[];
  readonly added: Set<HoldState>;
  readonly renewed: Set<HoldState>;
  readonly ended: number[];
  readonly requests: RequestRow[];
  readonly abandoned: [id: number, hold: AbandonedHold][];
  readonly outbox: [kind: OutboxKind, entry: object][];
  /** Rows that are not needed any more, up to an id. */
  abandonedUpTo: number | undefined;
  settledUpTo: number | undefined;
}

/** `onDirty` is called when something is to be written and nothing was. */
export function createJournalChanges(
  known: KnownRows,
  { rememberMs, maxRemembered, outbox }: JournalChangesOptions,
  onDirty: () => void,
): JournalChanges {
  let pending = nothing();
  let dirty = false;
  let remembered = known.settled.reduce((sum, { size }) => sum + size, 0);
  let abandonedUpTo = known.last.abandoned - known.waiting;
  const write = createStatements(known);

  function touch(): void {
    if (dirty) return;
    dirty = true;
    onDirty();
  }

  function changed(actor: ActorState): void {
    pending.actors.add(actor);
    touch();
  }

  function changedMembers({ actor, shares }: HoldState): void {
    for (const { rule, key, counter } of shares)
      if (rule.kind === "window" && groupOf(key) !== undefined) pending.members.set(counter, { actor, key });
  }

  function tell(kind: OutboxKind, entry: object): void {
    if (!outbox) return;
    pending.outbox.push([kind, entry]);
    touch();
  }

  /** Lets go of the oldest requests, where they are past their time or too many. */
  function forgetSettled(now: number): void {
    const { settled } = known;
    for (let first = settled[0]; first !== undefined; first = settled[0]) {
      if (first.at > now - rememberMs && remembered - first.size < maxRemembered) return;
      settled.shift();
      remembered -= first.size;
      pending.settledUpTo = first.id;
    }
  }

  return {
    get dirty() {
      return dirty;
    },
    held(hold) {
      pending.added.add(hold);
      changedMembers(hold);
      changed(hold.actor);
    },
    ended(hold) {
      if (hold.row !== 0) pending.ended.push(hold.row);
      hold.row = 0;
      pending.added.delete(hold);
      pending.renewed.delete(hold);
      changedMembers(hold);
      changed(hold.actor);
    },
    settled(how, { requestId: id, actor, outcome }) {
      if (outcome !== "") tell(how, { id, actor, outcome });
    },
    abandoned(found) {
      known.waiting++;
      pending.abandoned.push([++known.last.abandoned, found]);
      const { requestId: id, actor, intent, charged } = found;
      tell("abandoned", { id, actor, intent, charged });
      touch();
    },
    renewed(hold) {
      if (!pending.added.has(hold)) pending.renewed.add(hold);
      touch();
    },
    reset(actor, keys) {
      for (const key of keys) {
        const counter = groupOf(key) === undefined ? undefined : actor.counters.get(key);
        if (counter && counter.endsAt !== Infinity) pending.members.set(counter, { actor, key });
      }
      changed(actor);
    },
    dropped(actor) {
      pending.actors.delete(actor);
      for (const [counter, member] of pending.members) if (member.actor === actor) pending.members.delete(counter);
      const id = known.actors.get(actor);
      if (id === undefined) return;
      known.actors.delete(actor);
      pending.droppedActors.push(id);
      touch();
    },
    told(count) {
      known.waiting -= count;
    },
    untold(count) {
      known.waiting += count;
    },
    forgetTold() {
      const upTo = known.last.abandoned - known.waiting;
      if (upTo === abandonedUpTo) return;
      abandonedUpTo = upTo;
      pending.abandonedUpTo = upTo;
      touch();
    },
    remember(actor, requestId) {
      pending.requests.push([actor, requestId]);
      touch();
    },
    take(now) {
      forgetSettled(now);
      const taken = pending;
      pending = nothing();
      dirty = false;
      remembered += taken.requests.length;
      return {
        statements: write(taken, now),
        giveBack() {
          if (taken.requests.length > 0) remembered -= known.settled.pop()?.size ?? 0;
          pending = joined(taken, pending, known);
          // Whoever gives back knows when to write again.
          dirty = true;
        },
      };
    },
  };
}

function createStatements(known: KnownRows): (pending: Pending, now: number) => Statement[] {
  const writer = createRowWriter(known);
  return (pending, now) => {
    const statements: Statement[] = [];
    const { abandonedUpTo, settledUpTo } = pending;
    if (pending.actors.size > 0) statements.push(writer.actors(pending.actors));
    if (pending.members.size > 0) statements.push(writer.members(pending.members), remove.members(now));
    if (pending.droppedActors.length > 0)
      statements.push(remove.actors(pending.droppedActors), remove.membersOf(pending.droppedActors));
    if (pending.added.size > 0) statements.push(writer.holds(pending.added));
    if (pending.renewed.size > 0) statements.push(writer.leases(pending.renewed));
    if (pending.ended.length > 0) statements.push(remove.holds(pending.ended));
    if (pending.requests.length > 0) statements.push(writer.settled(pending.requests, now));
    if (settledUpTo !== undefined) statements.push(remove.settled(settledUpTo));
    if (pending.abandoned.length > 0) statements.push(put.abandoned(pending.abandoned));
    if (abandonedUpTo !== undefined) statements.push(remove.abandoned(abandonedUpTo));
    if (pending.outbox.length > 0) statements.push(put.outbox(pending.outbox));
    return statements;
  };
}

/**
 * What was not written and what came after it. Only of what still is: rows of what ended meanwhile are removed, whether they
 * were written or not.
 */
function joined(before: Pending, after: Pending, { actors }: KnownRows): Pending {
  const live = ({ row }: HoldState): boolean => row !== 0;
  return {
    actors: new Set([...[...before.actors].filter((actor) => actors.has(actor)), ...after.actors]),
    members: new Map([...[...before.members].filter(([, { actor }]) => actors.has(actor)), ...after.members]),
    droppedActors: [...before.droppedActors, ...after.droppedActors],
    added: new Set([...[...before.added].filter(live), ...after.added]),
    renewed: new Set([...[...before.renewed].filter(live), ...after.renewed]),
    ended: [...before.ended, ...after.ended],
    requests: [...before.requests, ...after.requests],
    abandoned: [...before.abandoned, ...after.abandoned],
    outbox: [...before.outbox, ...after.outbox],
    abandonedUpTo: after.abandonedUpTo ?? before.abandonedUpTo,
    settledUpTo: after.settledUpTo ?? before.settledUpTo,
  };
}

function nothing(): Pending {
  return {
    actors: new Set(),
    members: new Map(),
    droppedActors: [],
    added: new Set(),
    renewed: new Set(),
    ended: [],
    requests: [],
    abandoned: [],
    outbox: [],
    abandonedUpTo: undefined,
    settledUpTo: undefined,
  };
}
