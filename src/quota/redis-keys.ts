// Names of the quota store's keys.

import { hash } from "node:crypto";

/**
 * Actors are spread over so many shards, each with a hash tag of its own: in a Cluster, all that one script touches must be
 * in one slot, and that includes what actors share, as the leases that are due and the outbox. Part of the layout of the
 * data: all gateways must agree. 64 are enough for as many servers.
 */
export const shardCount = 64;

/** A shard's keys. */
export interface Shard {
  readonly index: number;
  readonly slot: number;
  readonly leases: string;
  readonly outbox: string;
  readonly abandoned: string;
}

/** An actor's keys. */
export interface ActorKeys {
  readonly shard: Shard;
  /** What stands for the actor in keys: its id may be of any length and characters. */
  readonly hash: string;
  /** In the order of the scripts' KEYS. */
  readonly keys: readonly string[];
}

export interface QuotaKeys {
  readonly shards: readonly Shard[];
  of(actor: string): ActorKeys;
  /** Of the actor with this hash, in the shard that it was found in. */
  inShard(shard: Shard, hash: string): ActorKeys;
}

/** Most actors whose keys are kept at hand, twice. */
const maxKept = 5_000;

export function createQuotaKeys(prefix: string): QuotaKeys {
  const tags = shardTags();
  const shards = tags.map(
    ({ tag, slot }, index): Shard => ({
      index,
      slot,
      leases: `${prefix}{${tag}}:leases`,
      outbox: `${prefix}{${tag}}:outbox`,
      abandoned: `${prefix}{${tag}}:abandoned`,
    }),
  );
  let young = new Map<string, ActorKeys>();
  let old = young;

  function inShard(shard: Shard, name: string): ActorKeys {
    const base = `${prefix}{${tags[shard.index]?.tag}}:${name}`;
    const { leases, outbox, abandoned } = shard;
    const keys = [`${base}:counters`, `${base}:holds`, `${base}:settled`, leases, outbox, abandoned];
    return { shard, hash: name, keys };
  }

  function make(actor: string): ActorKeys {
    const name = hash("sha256", actor).slice(0, 32);
    return inShard(shards[Number.parseInt(name.slice(0, 2), 16) % shardCount] as Shard, name);
  }

  return {
    shards,
    inShard,
    of(actor) {
      const known = young.get(actor) ?? old.get(actor);
      const found = known ?? make(actor);
      if (known === undefined) {
        if (young.size >= maxKept) {
          old = young;
          young = new Map();
        }
        young.set(actor, found);
      }
      return found;
    },
  };
}

/** Slots of a Cluster. */
const slotCount = 16_384;

interface ShardTag {
  readonly tag: string;
  readonly slot: number;
}

let tagsOfShards: readonly ShardTag[] | undefined;

/** One tag for each of as many equal ranges of slots: servers that hold equal ranges hold equally many shards. */
function shardTags(): readonly ShardTag[] {
  tagsOfShards ??= Array.from({ length: shardCount }, (_, index) => {
    const begun = crcOf(`${index}.`);
    for (let attempt = 0; ; attempt++) {
      const slot = crcOf(String(attempt), begun) % slotCount;
      if (Math.floor((slot * shardCount) / slotCount) === index) return { tag: `${index}.${attempt}`, slot };
    }
  });
  return tagsOfShards;
}

/** The slot of a hash tag, in ASCII: https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/ */
export function slotOf(tag: string): number {
  return crcOf(tag) % slotCount;
}

/** CRC-16/XMODEM of one byte, of each. A process that uses Redis reckons the slots of four thousand tags at its start. */
const crcOfByte = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8;
  for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000) === 0 ? crc << 1 : (crc << 1) ^ 0x1021;
  return crc;
});

/** Of ASCII, behind what `crc` is of. */
function crcOf(text: string, crc = 0): number {
  let all = crc;
  for (let at = 0; at < text.length; at++)
    all = ((all << 8) & 0xffff) ^ (crcOfByte[(all >> 8) ^ text.charCodeAt(at)] ?? 0);
  return all;
}
