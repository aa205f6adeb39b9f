// Sourcegraph.com for the demo and the tests: the parts of its GraphQL interface that tell of its users' access, and where code
// stands in public.

import { hash } from "node:crypto";
import { createBackEnd, type DemoBackEnd, type DemoBackEndOptions, readBody } from "./back-end.js";
import { type CallLog, createCallLog } from "./call-log.js";
import { readOperation, type Selection, select } from "./graphql.js";
import { many, type OneOrMany } from "./many.js";

/** A limit as Sourcegraph.com tells of it: whatever is in it is sent. */
export interface DotcomLimit {
  readonly allowedModels: unknown;
  readonly source?: unknown;
  /** A GraphQL BigInt: a number, or a text with one. */
  readonly limit: unknown;
  readonly intervalSeconds: unknown;
}

/** A user; what is left out is usual for a Pro plan. */
export interface DotcomUser {
  /** Database id. */
  readonly id: number;
  readonly username: string;
  /** Whether the user may use the gateway: the e-mail address is verified. Default true. */
  readonly enabled?: boolean;
  /** `sgd_` tokens. Default: `userToken` of the id. */
  readonly tokens?: readonly string[];
  readonly chat?: DotcomLimit | null;
  readonly code?: DotcomLimit | null;
  readonly embeddings?: DotcomLimit | null;
}

/** One call. */
export interface DotcomCall {
  readonly operation: string;
  readonly query: string;
  readonly variables: Readonly<Record<string, unknown>>;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

export interface DemoDotcomOptions extends DemoBackEndOptions {
  /** The access token that callers must have. */
  readonly accessToken: string;
}

/** Sourcegraph.com. */
export interface DemoDotcom extends DemoBackEnd, Omit<CallLog<DotcomCall>, "add"> {
  /** Where its GraphQL interface is. */
  readonly apiUrl: string;
  /** Adds users, or puts them in place of those with the same id. */
  set(users: OneOrMany<DotcomUser>): void;
  remove(id: number): void;
  /** A repository that everybody can see, with all its code. */
  publish(repository: string, code: string): void;
  /** Changes each answer before it is sent, or keeps it waiting; undefined: no more. */
  distort(change: ((answer: Record<string, unknown>) => unknown) | undefined): void;
}

const path = "/.api/graphql";

/** A token as Sourcegraph.com gives them out, always the same for a user. */
export function userToken(id: number, which = 0): string {
  return `sgd_${hash("sha256", `demo user ${id} token ${which}`, "hex")}`;
}

/** Creates a Sourcegraph.com without users; `listen` starts it. */
export function createDemoDotcom(options: DemoDotcomOptions): DemoDotcom {
  const users = new Map<number, DotcomUser>();
  const repositories = new Map<string, string>();
  const log = createCallLog<DotcomCall>();
  let distortion: ((answer: Record<string, unknown>) => unknown) | undefined;

  function attribute({ snippet, first }: DotcomCall["variables"]): object {
    const found = [...repositories].filter(([, code]) => code.includes(String(snippet))).map(([name]) => name);
    const nodes = found.slice(0, Number(first)).map((repositoryName) => ({ repositoryName }));
    return { snippetAttribution: { nodes, totalCount: found.length, limitHit: found.length > nodes.length } };
  }

  function answer(
    operation: string,
    selection: Selection,
    variables: DotcomCall["variables"],
  ): Record<string, unknown> {
    if (operation === "SnippetAttribution") return { data: select(attribute(variables), selection) };
    const { token } = variables;
    if (operation !== "CheckDotcomUserAccessToken") return { errors: [{ message: `unknown operation ${operation}` }] };
    const user = [...users.values()].find(({ id, tokens = [userToken(id)] }) => tokens.includes(String(token)));
    const data = { dotcom: { codyGatewayDotcomUserByToken: user ? dataOf(user) : null } };
    if (user) return { data: select(data, selection) };
    const error = {
      message: "dotcom user not found",
      path: ["dotcom", "codyGatewayDotcomUserByToken"],
      extensions: { code: "ErrDotcomUserNotFound" },
    };
    return { errors: [error], data };
  }

  const backEnd = createBackEnd(async (req, res) => {
    const target = new URL(req.url ?? "/", "http://dotcom");
    const send = (status: number, body: unknown): void => {
      const text = typeof body === "string" ? body : JSON.stringify(body);
      res.writeHead(status, { "content-type": typeof body === "string" ? "text/plain" : "application/json" });
      res.end(text);
    };
    const body = await readBody(req);
    if (req.method !== "POST" || target.pathname !== path) return send(404, "404 page not found");
    if (req.headers.authorization !== `token ${options.accessToken}`) return send(401, "Invalid access token.");
    const { query = "", variables = {} } = JSON.parse(body) as Partial<DotcomCall>;
    const { name, selection } = readOperation(query);
    log.add({ operation: name, query, variables, headers: req.headers });
    const said = answer(name, selection, variables);
    send(200, distortion ? await distortion(said) : said);
  }, options);

  return {
    ...backEnd,
    get url() {
      return backEnd.url;
    },
    get apiUrl() {
      return `${backEnd.url}${path}`;
    },
    get calls() {
      return log.calls;
    },
    waitFor: log.waitFor,
    clear: log.clear,
    set(given) {
      for (const user of many(given)) users.set(user.id, user);
    },
    remove: (id) => void users.delete(id),
    publish: (repository, code) => void repositories.set(repository, code),
    distort: (change) => {
      distortion = change;
    },
  };
}

function dataOf(user: DotcomUser): object {
  const { id, username, enabled = true } = user;
  const usual = { chat: daily(50, ["anthropic/claude-3-haiku-20240307", "openai/gpt-4o"]), code: daily(1_000, ["*"]) };
  const { chat, code, embeddings } = { ...usual, embeddings: null, ...user };
  return {
    id: Buffer.from(`User:${id}`).toString("base64"),
    username,
    codyGatewayAccess: {
      enabled,
      chatCompletionsRateLimit: withSource(chat),
      codeCompletionsRateLimit: withSource(code),
      embeddingsRateLimit: withSource(embeddings),
    },
  };
}

function withSource(limit: DotcomLimit | null): object | null {
  return limit && { source: "PLAN", ...limit };
}

function daily(limit: number, allowedModels: readonly string[]): DotcomLimit {
  return { allowedModels, limit: String(limit), intervalSeconds: 86_400 };
}
