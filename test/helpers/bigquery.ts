// A small BigQuery, with what gives out tokens for it: Google's token endpoint, and a machine's metadata.

import { createPublicKey, generateKeyPairSync, verify } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import type { UsageEvent } from "../../src/usage/event.js";

/** One request for rows, as it arrived. */
export interface Insert {
  readonly path: string;
  readonly token: string | undefined;
  readonly userAgent: string | undefined;
  readonly bytes: number;
  readonly rows: readonly Row[];
  readonly skipInvalidRows: boolean | undefined;
}

export interface Row {
  readonly insertId: string;
  readonly json: Readonly<Record<string, unknown>>;
}

/** What it does with one request in place of answering it. */
export type Fault = (res: ServerResponse, insert: Insert) => void;

/** A column as `bq` knows it. */
export interface Column {
  readonly name: string;
  readonly type: string;
  readonly mode: string;
}

export interface FakeBigQuery extends AsyncDisposable {
  readonly url: string;
  /** The same without the scheme. */
  readonly host: string;
  /** Names of tables that are there, `project.dataset.table`. */
  readonly tables: Set<string>;
  readonly inserts: readonly Insert[];
  /** Calls for tokens: `key`, `user` or `metadata`. */
  readonly granted: readonly string[];
  /** The rows that are stored, one for each `insertId`. */
  rows(): readonly Row[];
  /** The events in them. */
  events(): readonly UsageEvent[];
  /** From now on each request meets this; undefined: none does. */
  fail(fault: Fault | undefined): void;
  /** Does with the request what it would without a fault; without `res` the answer is lost. */
  take(res: ServerResponse | undefined, insert: Insert): void;
  /** Rows for which it says why are refused. */
  refuse(why: (row: Row) => string | undefined): void;
  /** All tokens that were given out are worth nothing. */
  revoke(): void;
  /** Key files that it knows. */
  readonly keyFile: string;
  readonly userFile: string;
  /** Secrets, none of which may be told anywhere. */
  secrets(): readonly string[];
}

const clientEmail = "gateway@project.iam.gserviceaccount.com";
const user = { client_id: "id-of-the-client", client_secret: "canary-client", refresh_token: "canary-refresh" };
/** BigQuery's own limit. */
const mostBytes = 10_000_000;

/** Takes a fifth of a second to make. */
const { privateKey, publicKey } = generateKeyPairSync("rsa", {
  modulusLength: 2_048,
  privateKeyEncoding: { type: "pkcs8", format: "pem" },
  publicKeyEncoding: { type: "spki", format: "pem" },
});

/** `schema` is that of its tables. */
export async function fakeBigQuery(schema: readonly Column[], now: () => number = Date.now): Promise<FakeBigQuery> {
  const tables = new Set(["project.cody_gateway.events"]);
  const inserts: Insert[] = [];
  const granted: string[] = [];
  const given: string[] = [];
  const stored = new Map<string, Row>();
  let inForce = new Set<string>();
  let fault: Fault | undefined;
  let why: (row: Row) => string | undefined = () => undefined;
  let url = "";

  const server = createServer((req, res) => {
    void answer(req, res).catch((error: unknown) => send(res, 500, { error: { message: String(error) } }));
  });

  async function answer(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const body = await text(req);
    if (req.url === "/token") return grantByForm(res, new URLSearchParams(body));
    if (req.url === "/computeMetadata/v1/instance/service-accounts/default/token") {
      if (req.method !== "GET" || req.headers["metadata-flavor"] !== "Google") return send(res, 403, {});
      return grant(res, "metadata");
    }
    return receive(req, res, body);
  }

  function grantByForm(res: ServerResponse, form: URLSearchParams): void {
    const { grant_type: type, assertion = "", ...rest } = Object.fromEntries(form);
    if (type === "refresh_token" && JSON.stringify(rest) === JSON.stringify(user)) return grant(res, "user");
    if (type === "urn:ietf:params:oauth:grant-type:jwt-bearer" && isGood(assertion)) return grant(res, "key");
    return send(res, 400, { error: "invalid_grant", error_description: JSON.stringify(rest) });
  }

  function isGood(assertion: string): boolean {
    const [head = "", claims = "", signature = ""] = assertion.split(".");
    const key = createPublicKey(publicKey);
    if (!verify("sha256", Buffer.from(`${head}.${claims}`), key, Buffer.from(signature, "base64url"))) return false;
    const { alg, kid } = decoded(head);
    const { iss, aud, scope, iat, exp } = decoded(claims);
    const seconds = now() / 1_000;
    const inTime = Number(iat) <= seconds && Number(exp) > seconds && Number(exp) - Number(iat) <= 3_600;
    const known = alg === "RS256" && kid === "key-1" && iss === clientEmail && aud === `${url}/token`;
    return known && inTime && scope === "https://www.googleapis.com/auth/bigquery.insertdata";
  }

  function grant(res: ServerResponse, kind: string): void {
    granted.push(kind);
    const token = `canary-token-${granted.length}`;
    given.push(token);
    inForce.add(token);
    send(res, 200, { access_token: token, expires_in: 3_599, token_type: "Bearer" });
  }

  function receive(req: IncomingMessage, res: ServerResponse, body: string): void {
    const token = /^Bearer (.*)$/.exec(req.headers.authorization ?? "")?.[1];
    const { rows, skipInvalidRows } = JSON.parse(body) as Pick<Insert, "rows" | "skipInvalidRows">;
    const userAgent = req.headers["user-agent"];
    const insert = { path: req.url ?? "", token, userAgent, bytes: Buffer.byteLength(body), rows, skipInvalidRows };
    inserts.push(insert);
    if (token !== undefined && !inForce.has(token)) return refuse(res, 401, "authError");
    return fault ? fault(res, insert) : take(res, insert);
  }

  function take(res: ServerResponse | undefined, insert: Insert): void {
    const { rows, skipInvalidRows } = insert;
    const [, ...names] =
      /^\/bigquery\/v2\/projects\/(.*)\/datasets\/(.*)\/tables\/(.*)\/insertAll$/.exec(insert.path) ?? [];
    if (res && !tables.has(names.join("."))) return refuse(res, 404, "notFound");
    if (res && insert.bytes > mostBytes) return refuse(res, 413, "invalid");
    const wrong = rows.flatMap((row, index) => {
      const message = misfit(schema, row) ?? why(row);
      return message === undefined ? [] : [{ index, errors: [{ reason: "invalid", location: "", message }] }];
    });
    const bad = new Set(wrong.map(({ index }) => index));
    const taken = skipInvalidRows || bad.size === 0 ? rows.filter((_, index) => !bad.has(index)) : [];
    for (const row of taken) if (!stored.has(row.insertId)) stored.set(row.insertId, row);
    const kind = "bigquery#tableDataInsertAllResponse";
    if (res) send(res, 200, bad.size === 0 ? { kind } : { kind, insertErrors: wrong });
  }

  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  url = `http://${host}`;
  const rowsStored = () => [...stored.values()];
  return {
    url,
    host,
    tables,
    inserts,
    granted,
    rows: rowsStored,
    events: () => rowsStored().map(({ json }) => (JSON.parse(String(json["metadata"])) as { event: UsageEvent }).event),
    fail: (given) => void (fault = given),
    take,
    refuse: (given) => void (why = given),
    revoke: () => void (inForce = new Set()),
    keyFile: JSON.stringify({
      type: "service_account",
      project_id: "project",
      private_key_id: "key-1",
      private_key: privateKey,
      client_email: clientEmail,
      token_uri: `${url}/token`,
    }),
    userFile: JSON.stringify({ type: "authorized_user", ...user, token_uri: `${url}/token` }),
    secrets: () => [...given, ...Object.values(user).slice(1), ...privateKey.split("\n").slice(1, 4)],
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
    },
  };
}

/** An answer that is not 200, as Google has it. */
export function refuse(res: ServerResponse, code: number, reason: string, headers: Record<string, string> = {}): void {
  send(res, code, { error: { code, message: "no", errors: [{ reason, message: "no" }] } }, headers);
}

export function send(res: ServerResponse, status: number, body: object, headers: Record<string, string> = {}): void {
  res.writeHead(status, { ...headers, "content-type": "application/json" }).end(JSON.stringify(body));
}

/** What BigQuery would say of a row that does not fit; undefined: it does. */
function misfit(schema: readonly Column[], { insertId, json }: Row): string | undefined {
  if (insertId.length === 0 || insertId.length > 128) return "insertId is too long";
  const unknown = Object.keys(json).find((name) => !schema.some((column) => column.name === name));
  if (unknown !== undefined) return `no such field: ${unknown}.`;
  for (const { name, type, mode } of schema) {
    const value = json[name];
    if (value === undefined && mode !== "REQUIRED") continue;
    if (typeof value !== "string") return `Missing required field: ${name}.`;
    if (type === "TIMESTAMP" && Number.isNaN(Date.parse(value))) return `Could not parse '${value}' as a timestamp`;
    if (type === "JSON" && !isJson(value)) return `Invalid JSON in ${name}`;
  }
  return undefined;
}

/** JSON as BigQuery takes it: no half characters. */
function isJson(value: string): boolean {
  try {
    return !/\\ud[89a-f][0-9a-f]{2}/i.test(value) && typeof JSON.parse(value) === "object";
  } catch {
    return false;
  }
}

function decoded(part: string): Readonly<Record<string, unknown>> {
  return JSON.parse(Buffer.from(part, "base64url").toString()) as Readonly<Record<string, unknown>>;
}
