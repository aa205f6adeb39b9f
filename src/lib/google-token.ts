// Tokens of Google: for the key file of a service account, for a user's own credentials, and of the machine that this runs on.

import { createPrivateKey, type KeyObject, sign } from "node:crypto";
import { fieldsOf } from "./fields.js";
import type { HttpCaller } from "./http-caller.js";
import { type AskForToken, postForm } from "./oauth.js";

/** Who the gateway is at Google. */
export type GoogleCredentials =
  | {
      readonly kind: "service-account";
      readonly email: string;
      readonly keyId: string | undefined;
      readonly key: KeyObject;
      readonly tokenUrl: string;
    }
  | {
      readonly kind: "user";
      readonly clientId: string;
      readonly clientSecret: string;
      readonly refreshToken: string;
      readonly tokenUrl: string;
    }
  /** Whoever the machine says: `host` is where its metadata are. */
  | { readonly kind: "metadata"; readonly host: string };

/** Where the metadata of Google's machines are. */
export const googleMetadataHost = "metadata.google.internal";

const googleTokenUrl = "https://oauth2.googleapis.com/token";
/** How long what the gateway signs is good for; Google allows an hour. */
const assertionSeconds = 3_600;

/** Reads a key file, as GOOGLE_APPLICATION_CREDENTIALS names it; what was expected says nothing of what is in it. */
export function readGoogleCredentials(text: string): GoogleCredentials | { readonly expected: string } {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return { expected: "a key file of Google, which is JSON" };
  }
  const fields = fieldsOf(json);
  const tokenUrl = fields["token_uri"] ?? googleTokenUrl;
  if (typeof tokenUrl !== "string" || !URL.canParse(tokenUrl)) return { expected: "a URL as token_uri in it" };
  if (fields["type"] === "service_account") return readServiceAccount(fields, tokenUrl);
  if (fields["type"] === "authorized_user") return readUser(fields, tokenUrl);
  return { expected: "a key file of the type service_account or authorized_user" };
}

function readServiceAccount(fields: Readonly<Record<string, unknown>>, tokenUrl: string) {
  const { client_email: email, private_key: pem, private_key_id: keyId } = fields;
  if (typeof email !== "string" || typeof pem !== "string") return { expected: "client_email and private_key in it" };
  try {
    const key = createPrivateKey(pem);
    if (key.asymmetricKeyType !== "rsa") return { expected: "an RSA key as private_key in it" };
    const named = typeof keyId === "string" ? keyId : undefined;
    return { kind: "service-account" as const, email, keyId: named, key, tokenUrl };
  } catch {
    return { expected: "a private key in PEM as private_key in it" };
  }
}

function readUser(fields: Readonly<Record<string, unknown>>, tokenUrl: string) {
  const { client_id: clientId, client_secret: clientSecret, refresh_token: refreshToken } = fields;
  if (typeof clientId !== "string" || typeof clientSecret !== "string" || typeof refreshToken !== "string")
    return { expected: "client_id, client_secret and refresh_token in it" };
  return { kind: "user" as const, clientId, clientSecret, refreshToken, tokenUrl };
}

/** Asks for tokens that are good for `scope`; a user's and a machine's are good for what they are. */
export function googleTokens(caller: HttpCaller, credentials: GoogleCredentials, scope: string): AskForToken {
  if (credentials.kind === "metadata") {
    const path = "computeMetadata/v1/instance/service-accounts/default/token";
    const call = { url: `http://${credentials.host}/${path}`, headers: { "metadata-flavor": "Google" } };
    return () => caller.get(call);
  }
  if (credentials.kind === "user") {
    const { clientId, clientSecret, refreshToken, tokenUrl } = credentials;
    const form = { client_id: clientId, client_secret: clientSecret, refresh_token: refreshToken };
    return () => postForm(caller, tokenUrl, { grant_type: "refresh_token", ...form });
  }
  return (nowMs) =>
    postForm(caller, credentials.tokenUrl, {
      grant_type: "urn:ietf:params:oauth:grant-type:jwt-bearer",
      assertion: assertionOf(credentials, scope, nowMs),
    });
}

/** A JWT (RFC 7523) by which the service account says that it is itself. */
function assertionOf(
  { email, keyId, key, tokenUrl }: GoogleCredentials & { readonly kind: "service-account" },
  scope: string,
  nowMs: number,
): string {
  const issuedAt = Math.floor(nowMs / 1_000);
  const header = { alg: "RS256", typ: "JWT", ...(keyId !== undefined && { kid: keyId }) };
  const claims = { iss: email, scope, aud: tokenUrl, iat: issuedAt, exp: issuedAt + assertionSeconds };
  const signed = [header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".");
  return `${signed}.${sign("sha256", Buffer.from(signed), key).toString("base64url")}`;
}
