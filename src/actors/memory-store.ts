import { randomUUID } from "node:crypto";
import type { Clock } from "../lib/clock.js";
import {
  type ActorStore,
  checkRecords,
  type Lease,
  LeaseLostError,
  maxRecords,
  type StoreListener,
  type StoreRecord,
} from "./store.js";

/** Time between two looks at what has expired. */
const sweepMs = 250;

/** A store of actors for one process, forgotten at its end. */
export function createMemoryActorStore({ clock }: { readonly clock: Clock }): ActorStore {
  const records = new Map<string, StoreRecord>();
  /** Those of the records that expire. */
  const expiring = new Map<string, StoreRecord>();
  const leases = createLeases(clock);
  const permits = createPermits(clock);
  const channels = createChannels();
  let listener: StoreListener | undefined;

  function put(record: StoreRecord): void {
    const name = `${record.kind} ${record.key}`;
    if (record.value === undefined) records.delete(name);
    else records.set(name, record);
    if (record.value !== undefined && record.expiresAt !== undefined) expiring.set(name, record);
    else expiring.delete(name);
  }

  function apply(changes: readonly StoreRecord[]): void {
    changes.forEach(put);
    listener?.changed(changes);
  }

  function isCurrent(record: StoreRecord): boolean {
    const { kind, key, expiresAt = Infinity } = record;
    return records.get(`${kind} ${key}`) === record && expiresAt > clock.now();
  }

  const sweeping = setInterval(() => {
    const now = clock.now();
    leases.sweep();
    const ended: StoreRecord[] = [];
    for (const { kind, key, expiresAt = Infinity } of expiring.values()) {
      if (expiresAt <= now) ended.push({ kind, key, value: undefined });
      if (ended.length === maxRecords) break;
    }
    if (ended.length > 0) apply(ended);
  }, sweepMs).unref();

  return {
    now: () => clock.now(),
    async follow(told) {
      told.reloading();
      const all = [...records.values()];
      for (let at = 0; at < all.length; at += maxRecords) {
        // What was changed meanwhile has been told as it is by then.
        const slice = all.slice(at, at + maxRecords).filter(isCurrent);
        if (slice.length > 0) told.changed(slice);
        listener = told;
        await turn();
      }
      listener = told;
      told.reloaded();
      told.connected(true);
    },
    async write(changes, lease) {
      checkRecords(changes);
      if (lease !== undefined && !leases.holds(lease)) throw new LeaseLostError(lease.name);
      apply(changes);
      await turn();
    },
    acquire: async (name, { ttlMs, holder }) => leases.acquire(name, ttlMs, holder),
    holder: async (name) => leases.holder(name),
    take: async (name, { perSecond, burst }) => permits.take(name, perSecond, burst),
    publish: channels.publish,
    subscribe: channels.subscribe,
    async close() {
      clearInterval(sweeping);
    },
  };
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

interface HeldLease {
  readonly token: string;
  readonly holder: string;
  endsAt: number;
}

/** Leases among the parts of one process. */
function createLeases(clock: Clock) {
  const leases = new Map<string, HeldLease>();
  const tokens = new WeakMap<Lease, string>();

  function current(name: string): HeldLease | undefined {
    const held = leases.get(name);
    return held !== undefined && held.endsAt > clock.now() ? held : undefined;
  }

  return {
    acquire(name: string, ttlMs: number, holder: string): Lease | undefined {
      if (current(name) !== undefined) return undefined;
      const token = randomUUID();
      const own = (): HeldLease | undefined => {
        const held = current(name);
        return held?.token === token ? held : undefined;
      };
      leases.set(name, { token, holder, endsAt: clock.now() + ttlMs });
      const lease: Lease = {
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
      tokens.set(lease, token);
      return lease;
    },
    holds: (lease: Lease): boolean => current(lease.name)?.token === (tokens.get(lease) ?? ""),
    holder: (name: string): string | undefined => current(name)?.holder,
    sweep(): void {
      for (const name of leases.keys()) if (current(name) === undefined) leases.delete(name);
    },
  };
}

/** Buckets that fill with so many permits a second. */
function createPermits(clock: Clock) {
  const buckets = new Map<string, { permits: number; at: number }>();
  return {
    take(name: string, perSecond: number, burst: number): boolean {
      const now = clock.now();
      const { permits, at } = buckets.get(name) ?? { permits: burst, at: now };
      const filled = Math.min(burst, permits + (Math.max(0, now - at) * perSecond) / 1_000);
      const taken = filled >= 1;
      buckets.set(name, { permits: taken ? filled - 1 : filled, at: now });
      return taken;
    },
  };
}

type Subscriber = (message: string) => void;

function createChannels() {
  const subscribers = new Map<string, Set<Subscriber>>();
  return {
    publish(channel: string, message: string): void {
      setImmediate(() => {
        for (const subscriber of subscribers.get(channel) ?? []) subscriber(message);
      });
    },
    subscribe(channel: string, given: Subscriber): () => void {
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
