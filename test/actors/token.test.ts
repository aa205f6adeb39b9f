import { createHash, createHmac } from "node:crypto";
import { describe, expect, it } from "vitest";
import {
  createTokenHasher,
  isLicenseToken,
  isUserToken,
  licenseToken,
  normaliseToken,
  patToken,
} from "../../src/actors/token.js";

const digits = "0123456789abcdef".repeat(4);
const sha256 = (data: string | Buffer) => createHash("sha256").update(data).digest();

describe("createTokenHasher", () => {
  it("keys the SHA-256 of the token with the pepper", () => {
    const expected = createHmac("sha256", "pepper").update(sha256("a token")).digest("base64url");

    expect(createTokenHasher("pepper").hash("a token")).toBe(expected);
  });

  it.each(["", "é".repeat(20), "a".repeat(64), "a".repeat(65), "long ".repeat(100)])(
    "is HMAC for any pepper: %j",
    (pepper) => {
      for (const token of ["a token", "another one"])
        expect(createTokenHasher(pepper).hash(token)).toBe(
          createHmac("sha256", pepper).update(sha256(token)).digest("base64url"),
        );
    },
  );

  it("takes nothing for a SHA-256 that is none", () => {
    expect(() => createTokenHasher("pepper").fromSha256("abcd")).toThrow("digest of 2 bytes, expected 32");
  });

  it("gives the same for a token and for its SHA-256", () => {
    const hasher = createTokenHasher("pepper");

    expect(hasher.fromSha256(sha256("a token").toString("hex"))).toBe(hasher.hash("a token"));
    expect(hasher.fromSha256(sha256("a token").toString("hex").toUpperCase())).toBe(hasher.hash("a token"));
  });

  it("tells tokens apart that follow one another", () => {
    const hasher = createTokenHasher("pepper");

    const hashes = ["a", "b", "a", "a"].map((token) => hasher.hash(token));

    expect(hashes[0]).toBe(hashes[2]);
    expect(hashes[2]).toBe(hashes[3]);
    expect(hashes[0]).not.toBe(hashes[1]);
  });

  it("gives other hashes under another pepper", () => {
    expect(createTokenHasher("one").hash("a token")).not.toBe(createTokenHasher("two").hash("a token"));
  });
});

describe("normaliseToken", () => {
  it.each([
    [`slk_${digits}`, `slk_${digits}`],
    [`sgs_${digits}`, `slk_${digits}`],
    [`sgd_${digits}`, `sgd_${digits}`],
    [`sgs_${digits.toUpperCase()}`, `slk_${digits}`],
    ["sgs_short", "slk_short"],
    [`SLK_${digits}`, `SLK_${digits}`],
    ["my own sgs_ token", "my own sgs_ token"],
    ["Anything-Else", "Anything-Else"],
    ["", ""],
  ])("%s becomes %s", (token, normal) => {
    expect(normaliseToken(token)).toBe(normal);
  });
});

describe("token forms", () => {
  it.each([
    [`slk_${digits}`, true, false],
    [`sgd_${digits}`, false, true],
    [`slk_${digits}0`, false, false],
    [`sgd_${digits.slice(1)}`, false, false],
    [`slk_${digits.slice(1)}g`, false, false],
    [`slk_${digits}\n`, false, false],
    [`xslk_${digits}`, false, false],
    [`sgp_${digits}`, false, false],
    ["", false, false],
  ])("%j", (token, license, user) => {
    expect([isLicenseToken(token), isUserToken(token)]).toEqual([license, user]);
  });
});

describe("licenseToken", () => {
  it("is slk_ and the SHA-256 of the key", () => {
    expect(licenseToken("abc")).toBe("slk_ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    expect(isLicenseToken(licenseToken("a licence key"))).toBe(true);
  });
});

describe("patToken", () => {
  const pat = "a94a8fe5ccb19ba61c4c0873d391e987982fbbd3";
  const expected = `sgd_${sha256(sha256(Buffer.from(pat, "hex"))).toString("hex")}`;

  it.each([
    pat,
    `sgp_${pat}`,
    `sgph_${pat}`,
    `sgp_0123456789abcdef_${pat}`,
    `sgp_local_${pat}`,
    `local_${pat}`,
    pat.toUpperCase(),
  ])("takes the last 40 digits of %s", (token) => {
    expect(patToken(token)).toBe(expected);
    expect(isUserToken(patToken(token) ?? "")).toBe(true);
  });

  it.each(["", "sgp_", pat.slice(1), `${pat}0`, `sgx_${pat}`, `sgp_0123_${pat}`, `slk_${digits}`])(
    "is undefined for %j",
    (token) => {
      expect(patToken(token)).toBeUndefined();
    },
  );
});
