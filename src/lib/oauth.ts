// The client's side of OAuth 2.0: tokens, as for client credentials (RFC 6749, 4.4), and what a token is worth (RFC 7662).

import { CallError } from "./call-error.js";
import type { Clock } from "./clock.js";
import { fieldsOf } from "./fields.js";
import type { HttpAnswer, HttpCaller } from "./http-caller.js";

/** Tokens with which the gateway shows who it is. */
export interface TokenSource {
  /** A token in force. Fetched when there is none, and anew before it ends; one fetch is in flight at a time. */
  get(): Promise<string>;
  /** It was not accepted: the next `get` does not return it. */
  refused(token: string): void;
}

/** Asks a service for a token, which it answers as RFC 6749, 5.1 has it. */
export type AskForToken = (nowMs: number) => Promise<HttpAnswer>;

export interface ClientCredentials {
  /** `https://accounts.example.com/oauth/token` */
  readonly tokenUrl: string;
  readonly clientId: string;
  readonly clientSecret: string;
  readonly scopes: readonly string[];
}

interface Granted {
  readonly token: string;
  readonly grantedAt: number;
  readonly expiresAt: number;
  /** From when on another is fetched. */
  readonly renewAt: number;
}

/** Tokens end this long before they do: they have to arrive, and clocks differ. */
const renewBeforeMs = 60_000;
/** A service is not asked for a token more often, while it fails or its tokens are refused. */
const pauseMs = 1_000;
/** Lifetime of tokens that do not say. */
const unsaidLifetimeMs = 300_000;

/** Asks for tokens by the gateway's name and secret at the service. */
export function clientCredentials(caller: HttpCaller, credentials: ClientCredentials): AskForToken {
  const { tokenUrl, clientId, clientSecret, scopes } = credentials;
  const basic = Buffer.from(`${formEncoded(clientId)}:${formEncoded(clientSecret)}`).toString("base64");
  const form = { grant_type: "client_credentials", scope: scopes.join(" ") };
  return () => postForm(caller, tokenUrl, form, { authorization: `Basic ${basic}` });
}

/** Posts a form and takes JSON, as all of OAuth does. */
export function postForm(
  caller: HttpCaller,
  url: string,
  form: Readonly<Record<string, string>>,
  headers: Readonly<Record<string, string>> = {},
): Promise<HttpAnswer> {
  return caller.post({
    url,
    headers: { ...headers, "content-type": "application/x-www-form-urlencoded", accept: "application/json" },
    body: new URLSearchParams(form).toString(),
  });
}

/** `service` is what errors call it. */
export function createTokenSource(
  parts: { readonly ask: AskForToken; readonly clock: Clock },
  { service }: { readonly service: string },
): TokenSource {
  const { ask, clock } = parts;
  let granted: Granted | undefined;
  let fetching: Promise<string> | undefined;
  let failed: { readonly error: unknown; readonly at: number } | undefined;

  async function fetchToken(): Promise<string> {
    const askedAt = clock.now();
    try {
      granted = readGrant(service, await ask(askedAt), askedAt);
      failed = undefined;
      return granted.token;
    } catch (error) {
      failed = { error, at: clock.now() };
      throw error;
    }
  }

  function renew(): Promise<string> {
    fetching ??= fetchToken().finally(() => {
      fetching = undefined;
    });
    return fetching;
  }

  return {
    async get() {
      const now = clock.now();
      if (granted && now < granted.renewAt) return granted.token;
      const inForce = granted && now < granted.expiresAt ? granted.token : undefined;
      const paused = failed && isWithin(pauseMs, failed.at, now);
      if (paused && inForce === undefined) throw failed?.error;
      if (paused) return inForce as string;
      const renewed = renew();
      if (inForce === undefined) return renewed;
      // The old one will do; whether the new one comes is for a later call to see.
      renewed.catch(() => {});
      return inForce;
    },
    refused(token) {
      // A token that is refused as soon as it is there will not be followed by a better one.
      if (granted?.token === token && !isWithin(pauseMs, granted.grantedAt, clock.now())) granted = undefined;
    },
  };
}

/** Whether so little time has passed. Nobody knows how much has when the clock was set back. */
function isWithin(ms: number, since: number, now: number): boolean {
  return now >= since && now - since < ms;
}

function readGrant(service: string, answer: { readonly status: number; readonly json: unknown }, now: number): Granted {
  const { status, json } = answer;
  const { access_token: token, token_type: type = "bearer", expires_in: expiresIn, error } = fieldsOf(json);
  if (status !== 200) {
    const said = typeof error === "string" && /^[a-z_]{1,40}$/.test(error) ? `: ${error}` : "";
    throw new CallError(service, `gave no token (${status}${said})`, status);
  }
  // It goes into a header: anything else would fail there.
  const usable = typeof token === "string" && /^[\x21-\x7e]{1,16384}$/.test(token);
  if (!usable || typeof type !== "string" || type.toLowerCase() !== "bearer")
    throw new CallError(service, "gave no bearer token", status);
  const seconds = Number(expiresIn ?? Number.NaN);
  const lifetimeMs = seconds > 0 && seconds < 1e9 ? seconds * 1_000 : unsaidLifetimeMs;
  return {
    token,
    grantedAt: now,
    expiresAt: now + lifetimeMs,
    renewAt: now + lifetimeMs - Math.min(renewBeforeMs, lifetimeMs / 5),
  };
}

/** What `ask` answers with a token in force: it is asked a second time when the first one was revoked before its time. */
export async function askWithToken(
  tokens: TokenSource,
  ask: (token: string) => Promise<HttpAnswer>,
): Promise<HttpAnswer> {
  const token = await tokens.get();
  const answer = await ask(token);
  if (answer.status !== 401) return answer;
  tokens.refused(token);
  return ask(await tokens.get());
}

/** What a token is worth. */
export type Introspection =
  | { readonly active: false }
  | {
      readonly active: true;
      readonly scopes: readonly string[];
      readonly clientId: string | undefined;
      readonly username: string | undefined;
      /** ms since the epoch; undefined: it does not say. */
      readonly expiresAt: number | undefined;
    };

/** Asks the service what `token` is worth. Throws `CallError` when it cannot say. */
export async function introspect(
  parts: { readonly caller: HttpCaller; readonly tokens: TokenSource },
  options: { readonly service: string; readonly introspectUrl: string },
  token: string,
): Promise<Introspection> {
  const { caller, tokens } = parts;
  const { service, introspectUrl } = options;
  const answer = await askWithToken(tokens, (own) =>
    postForm(caller, introspectUrl, { token }, { authorization: `Bearer ${own}` }),
  );
  if (answer.status !== 200)
    throw new CallError(service, `did not say what a token is worth (${answer.status})`, answer.status);
  const { active, scope, client_id: clientId, username, exp } = fieldsOf(answer.json);
  if (active === false) return { active };
  if (active !== true) throw new CallError(service, "did not say what a token is worth", answer.status);
  return {
    active,
    scopes: typeof scope === "string" ? scope.split(" ").filter(Boolean) : [],
    clientId: typeof clientId === "string" ? clientId : undefined,
    username: typeof username === "string" ? username : undefined,
    expiresAt: typeof exp === "number" && Number.isFinite(exp) ? exp * 1_000 : undefined,
  };
}

/** As RFC 6749, 2.3.1 wants ids and secrets before they are joined by a colon. */
function formEncoded(text: string): string {
  return new URLSearchParams({ "": text }).toString().slice(1);
}
