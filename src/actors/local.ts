// What stores of one process have in common: leases, permits and messages among its parts, and what expires.

import { randomUUID } from "node:crypto";
import type { Clock } from "../lib/clock.js";
import { type ActorStore, type Lease, LeaseLostError, maxRecords, type StoreRecord } from "./store.js";

export interface Local extends Pick<ActorStore, "now" | "acquire" | "holder" | "take" | "publish" | "subscribe"> {
  /** Throws `LeaseLostError` when the lease is no longer held. */
  check(lease: Lease | undefined): void;
  /** These are the records now: removes each of them at its time. */
  expire(records: readonly StoreRecord[]): void;
  stop(): void;
}

/** Time between two looks at what has expired. */
const sweepMs = 250;

/** `onExpired` is given removals, at most `maxRecords` at once. */
export function createLocal(clock: Clock, onExpired: (removals: readonly StoreRecord[]) => void): Local {
  const leases = createLeases(clock);
  const expiring = createExpiring(clock);
  const sweeping = setInterval(() => {
    leases.sweep();
    const ended = expiring.ended();
    if (ended.length > 0) onExpired(ended);
  }, sweepMs).unref();
  return {
    now: () => clock.now(),
    acquire: async (name, { ttlMs, holder }) => leases.acquire(name, ttlMs, holder),
    holder: async (name) => leases.holder(name),
    check: leases.check,
    expire: expiring.note,
    take: createTake(clock),
    ...createChannels(),
    stop: () => clearInterval(sweeping),
  };
}

/** Lets everything else have its turn. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function createExpiring(clock: Clock) {
  const expiring = new Map<string, Required<Pick<StoreRecord, "kind" | "key" | "expiresAt">>>();
  return {
    note(records: readonly StoreRecord[]): void {
      for (const { kind, key, value, expiresAt } of records) {
        const name = `${kind} ${key}`;
        if (value === undefined || expiresAt === undefined) expiring.delete(name);
        else expiring.set(name, { kind, key, expiresAt });
      }
    },
    ended(): StoreRecord[] {
      const now = clock.now();
      const ended: StoreRecord[] = [];
      for (const { kind, key, expiresAt } of expiring.values()) {
        if (expiresAt <= now) ended.push({ kind, key, value: undefined });
        if (ended.length === maxRecords) break;
      }
      return ended;
    },
  };
}

interface HeldLease {
  readonly token: string;
  readonly holder: string;
  endsAt: number;
}

function createLeases(clock: Clock) {
  const leases = new Map<string, HeldLease>();
  const tokens = new WeakMap<Lease, string>();

  function current(name: string): HeldLease | undefined {
    const held = leases.get(name);
    return held !== undefined && held.endsAt > clock.now() ? held : undefined;
  }

  function make(name: string, token: string, ttlMs: number): Lease {
    const own = (): HeldLease | undefined => {
      const held = current(name);
      return held?.token === token ? held : undefined;
    };
    return {
      name,
      async extend() {
        const held = own();
        if (held !== undefined) held.endsAt = clock.now() + ttlMs;
        return held !== undefined;
      },
      async release() {
        if (own() !== undefined) leases.delete(name);
      },
    };
  }

  return {
    acquire(name: string, ttlMs: number, holder: string): Lease | undefined {
      if (current(name) !== undefined) return undefined;
      const token = randomUUID();
      const lease = make(name, token, ttlMs);
      leases.set(name, { token, holder, endsAt: clock.now() + ttlMs });
      tokens.set(lease, token);
      return lease;
    },
    check(lease: Lease | undefined): void {
      if (lease === undefined) return;
      const held = current(lease.name);
      if (held === undefined || held.token !== tokens.get(lease)) throw new LeaseLostError(lease.name);
    },
    holder: (name: string): string | undefined => current(name)?.holder,
    sweep(): void {
      for (const name of leases.keys()) if (current(name) === undefined) leases.delete(name);
    },
  };
}

/** Buckets that fill with so many permits a second. */
function createTake(clock: Clock): ActorStore["take"] {
  const buckets = new Map<string, { permits: number; at: number }>();
  return async (name, { perSecond, burst }) => {
    const now = clock.now();
    const { permits, at } = buckets.get(name) ?? { permits: burst, at: now };
    const filled = Math.min(burst, permits + (Math.max(0, now - at) * perSecond) / 1_000);
    const taken = filled >= 1;
    buckets.set(name, { permits: taken ? filled - 1 : filled, at: now });
    return taken;
  };
}

type Subscriber = (message: string) => void;

function createChannels(): Pick<ActorStore, "publish" | "subscribe"> {
  const subscribers = new Map<string, Set<Subscriber>>();
  return {
    publish(channel, message) {
      setImmediate(() => {
        for (const subscriber of subscribers.get(channel) ?? []) subscriber(message);
      });
    },
    subscribe(channel, given) {
      // The same function may be given twice: each is a subscriber of its own.
      const subscriber: Subscriber = (message) => given(message);
      const all = subscribers.get(channel) ?? new Set();
      subscribers.set(channel, all.add(subscriber));
      return () => {
        all.delete(subscriber);
        if (all.size === 0 && subscribers.get(channel) === all) subscribers.delete(channel);
      };
    },
  };
}
