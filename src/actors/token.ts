// Tokens of callers: their forms, how they derive from other secrets, and the hashes that stand in for them everywhere.

import { createHash, hash } from "node:crypto";

/** Shorter tokens are nobody's: they could be guessed. */
export const minTokenLength = 20;

/** What of a token is kept: caches, stores and logs never hold the token itself. */
export interface TokenHasher {
  /** Stands for `token`: the same for the same token and pepper, and of no use to who reads it. */
  hash(token: string): string;
  /** The same from the SHA-256 of the token, in hex. */
  fromSha256(hex: string): string;
}

/** A hasher whose pepper may come later. */
export interface KeyedTokenHasher extends TokenHasher {
  /** Takes another pepper: hashes made before are of no use any more. */
  rekey(pepper: string): void;
}

/** HMAC-SHA-256 over the token's SHA-256, so that who knows only the SHA-256 can be recognised too. */
export function createTokenHasher(pepper: string): KeyedTokenHasher {
  let keyed = createKeyedDigest(pepper);
  // A request asks for the same token several times in a row.
  let last: { token: string; hash: string } | undefined;
  return {
    hash(token) {
      if (last?.token !== token) last = { token, hash: keyed(hash("sha256", token, "binary"), "binary") };
      return last.hash;
    },
    fromSha256: (hex) => keyed(hex, "hex"),
    rekey(next) {
      keyed = createKeyedDigest(next);
      last = undefined;
    },
  };
}

const blockBytes = 64;
const digestBytes = 32;

/**
 * HMAC-SHA-256 of digests (RFC 2104) under one key, in base64url. Made of two plain hashes, whose key is prepared once: a hundred
 * thousand tokens are hashed in a sync, and an `Hmac` object costs several times what the hashing does. Digests come as text, a
 * byte a letter or in hex: each `Buffer` for one would double the cost.
 */
function createKeyedDigest(pepper: string): (digest: string, encoding: "binary" | "hex") => string {
  const bytes = Buffer.from(pepper, "utf8");
  const key = Buffer.alloc(blockBytes);
  (bytes.length > blockBytes ? hash("sha256", bytes, "buffer") : bytes).copy(key);
  const padded = (pad: number): Buffer => {
    const block = Buffer.alloc(blockBytes + digestBytes);
    for (let at = 0; at < blockBytes; at++) block[at] = (key[at] as number) ^ pad;
    return block;
  };
  const [inner, outer] = [padded(0x36), padded(0x5c)];
  return (digest, encoding) => {
    const length = encoding === "hex" ? digest.length / 2 : digest.length;
    if (length !== digestBytes || inner.write(digest, blockBytes, encoding) !== digestBytes)
      throw new RangeError(`digest of ${length} bytes, expected ${digestBytes}`);
    outer.write(hash("sha256", inner, "binary"), blockBytes, "binary");
    return hash("sha256", outer, "base64url");
  };
}

/** The one spelling of a token of Sourcegraph: `sgs_` is the older form of `slk_`, and hex digits may be of any case. */
export function normaliseToken(token: string): string {
  const renamed = token.startsWith("sgs_") ? `slk_${token.slice(4)}` : token;
  return /^(slk|sgd)_[0-9a-fA-F]{64}$/.test(renamed) ? renamed.toLowerCase() : renamed;
}

/** Whether a normalised token has the form of an Enterprise licence's. */
export function isLicenseToken(token: string): boolean {
  return /^slk_[0-9a-f]{64}$/.test(token);
}

/** Whether a normalised token has the form of a Sourcegraph.com user's. */
export function isUserToken(token: string): boolean {
  return /^sgd_[0-9a-f]{64}$/.test(token);
}

/** The token of a licence key, which is the key as it was issued: a base64url text. */
export function licenseToken(key: string): string {
  return `slk_${hash("sha256", key, "hex")}`;
}

/** The gateway token of a Sourcegraph.com personal access token; undefined when it does not have the form of one. */
export function patToken(pat: string): string | undefined {
  // Older ones are the digits alone; newer ones name the instance that issued them.
  const match = /^(?:sgph?_)?(?:[0-9a-f]{16}_|local_)?([0-9a-f]{40})$/i.exec(pat);
  if (!match) return undefined;
  const once = createHash("sha256")
    .update(match[1] as string, "hex")
    .digest();
  return `sgd_${createHash("sha256").update(once).digest("hex")}`;
}
