// The accounts service for the demo and the tests: tokens for client credentials, and introspection of tokens.

import { randomBytes } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { createBackEnd, type DemoBackEnd, type DemoBackEndOptions, readBody } from "./back-end.js";
import { type CallLog, createCallLog } from "./call-log.js";

/** A client, by its id. */
export interface SamsClient {
  readonly secret: string;
  /** What it may ask for. */
  readonly scopes: readonly string[];
}

/** A token that was given out. */
export interface SamsToken {
  readonly scopes: readonly string[];
  readonly clientId: string;
  /** Who is behind it, where it is a person. */
  readonly username?: string;
  /** ms since the epoch. */
  readonly expiresAt: number;
}

/** One call of the accounts service. */
export interface SamsCall {
  readonly path: string;
  readonly clientId: string | undefined;
  readonly status: number;
}

export interface DemoSamsOptions extends DemoBackEndOptions {
  readonly clients: Readonly<Record<string, SamsClient>>;
  /** How long the tokens it gives out last. Default 1 h. */
  readonly lifetimeMs?: number;
  readonly now?: () => number;
}

/** An accounts service. */
export interface DemoSams extends DemoBackEnd, Omit<CallLog<SamsCall>, "add"> {
  /** Gives out a token without being asked: an operator's, say. */
  issue(token: Partial<SamsToken> & Pick<SamsToken, "scopes">): string;
  /** Scopes of a token that is in force. */
  scopesOf(token: string): readonly string[] | undefined;
  /** All tokens given out so far, or this one, are worth nothing from now on. */
  revoke(token?: string): void;
}

interface Answer {
  readonly status: number;
  readonly body: object;
  readonly clientId?: string | undefined;
}

/** Creates an accounts service; `listen` starts it. */
export function createDemoSams(options: DemoSamsOptions): DemoSams {
  const { clients, lifetimeMs = 3_600_000, now = Date.now } = options;
  const tokens = new Map<string, SamsToken>();
  const log = createCallLog<SamsCall>();

  const inForce = (token: string): SamsToken | undefined => {
    const found = tokens.get(token);
    return found && found.expiresAt > now() ? found : undefined;
  };

  function issue(token: Partial<SamsToken> & Pick<SamsToken, "scopes">): string {
    const text = `sams_at_${randomBytes(24).toString("hex")}`;
    tokens.set(text, { clientId: "demo", expiresAt: now() + lifetimeMs, ...token });
    return text;
  }

  function grant(req: IncomingMessage, form: URLSearchParams): Answer {
    const { id, secret } = credentialsOf(req, form);
    const client = Object.hasOwn(clients, id) ? clients[id] : undefined;
    if (!client || client.secret !== secret) return { status: 401, body: { error: "invalid_client" }, clientId: id };
    const refuse = (error: string): Answer => ({ status: 400, body: { error }, clientId: id });
    if (form.get("grant_type") !== "client_credentials") return refuse("unsupported_grant_type");
    const scopes = (form.get("scope") ?? "").split(" ").filter(Boolean);
    if (!scopes.every((scope) => client.scopes.includes(scope))) return refuse("invalid_scope");
    const body = {
      access_token: issue({ scopes, clientId: id }),
      token_type: "bearer",
      expires_in: Math.floor(lifetimeMs / 1_000),
      scope: scopes.join(" "),
    };
    return { status: 200, body, clientId: id };
  }

  function introspect(req: IncomingMessage, form: URLSearchParams): Answer {
    const caller = inForce((req.headers.authorization ?? "").replace(/^bearer /i, ""));
    if (!caller) return { status: 401, body: { error: "invalid_token" } };
    const found = inForce(form.get("token") ?? "");
    const clientId = caller.clientId;
    if (!found) return { status: 200, body: { active: false }, clientId };
    const body = {
      active: true,
      scope: found.scopes.join(" "),
      client_id: found.clientId,
      ...(found.username !== undefined && { username: found.username }),
      exp: Math.floor(found.expiresAt / 1_000),
    };
    return { status: 200, body, clientId };
  }

  const backEnd = createBackEnd(async (req, res) => {
    const path = new URL(req.url ?? "/", "http://sams").pathname;
    const form = new URLSearchParams(await readBody(req));
    const route = req.method === "POST" ? { "/oauth/token": grant, "/oauth/introspect": introspect }[path] : undefined;
    const { status, body, clientId } = route?.(req, form) ?? { status: 404, body: { error: "not_found" } };
    log.add({ path, clientId, status });
    res.writeHead(status, { "content-type": "application/json", "cache-control": "no-store" });
    res.end(JSON.stringify(body));
  }, options);

  return {
    ...backEnd,
    get url() {
      return backEnd.url;
    },
    get calls() {
      return log.calls;
    },
    waitFor: log.waitFor,
    clear: log.clear,
    issue,
    scopesOf: (token) => inForce(token)?.scopes,
    revoke: (token) => void (token === undefined ? tokens.clear() : tokens.delete(token)),
  };
}

/** From the header or from the form: clients may do either. */
function credentialsOf(req: IncomingMessage, form: URLSearchParams): { readonly id: string; readonly secret: string } {
  const [, basic] = /^basic (.+)$/i.exec(req.headers.authorization ?? "") ?? [];
  if (basic === undefined) return { id: form.get("client_id") ?? "", secret: form.get("client_secret") ?? "" };
  const [id = "", secret = ""] = Buffer.from(basic, "base64").toString("utf8").split(":").map(formDecoded);
  return { id, secret };
}

function formDecoded(text: string): string {
  return new URLSearchParams(`x=${text}`).get("x") ?? "";
}
