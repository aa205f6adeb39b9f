// Encryption of what is kept: AES-256-GCM, under keys that have names, so that one can be replaced while what the old one
// encrypted is still there.

import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";

/** A key, and the name that what it encrypted bears. */
export interface NamedKey {
  readonly name: string;
  /** 32 bytes. */
  readonly key: Buffer;
}

export interface Seal {
  /** Encrypts under the first key. What it says can only be opened for the same `purpose`. */
  close(text: string, purpose: string): string;
  /** The text. Throws `SealError` where its key is not there, or it was changed. */
  open(sealed: string, purpose: string): string;
}

/** What was kept cannot be read. */
export class SealError extends Error {
  override readonly name = "SealError";
}

const algorithm = "aes-256-gcm";
const nonceBytes = 12;
const tagBytes = 16;

export function createSeal(keys: readonly [NamedKey, ...NamedKey[]]): Seal {
  const [current] = keys;
  return {
    close(text, purpose) {
      const nonce = randomBytes(nonceBytes);
      const cipher = createCipheriv(algorithm, current.key, nonce, { authTagLength: tagBytes });
      cipher.setAAD(Buffer.from(`${current.name}\n${purpose}`));
      const body = Buffer.concat([cipher.update(text, "utf8"), cipher.final()]);
      return `1.${current.name}.${Buffer.concat([nonce, cipher.getAuthTag(), body]).toString("base64url")}`;
    },
    open(sealed, purpose) {
      const [version, name = "", data = ""] = sealed.split(".");
      const found = keys.find((each) => each.name === name);
      if (version !== "1" || !found) throw new SealError("the key that it was encrypted under is not there");
      const bytes = Buffer.from(data, "base64url");
      try {
        const nonce = bytes.subarray(0, nonceBytes);
        const decipher = createDecipheriv(algorithm, found.key, nonce, { authTagLength: tagBytes });
        decipher.setAAD(Buffer.from(`${name}\n${purpose}`));
        decipher.setAuthTag(bytes.subarray(nonceBytes, nonceBytes + tagBytes));
        const body = bytes.subarray(nonceBytes + tagBytes);
        return Buffer.concat([decipher.update(body), decipher.final()]).toString("utf8");
      } catch (cause) {
        throw new SealError("it was changed since it was encrypted", { cause });
      }
    },
  };
}
