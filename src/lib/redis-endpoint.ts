/** Where Redis is. */
export interface RedisEndpoint {
  readonly kind: "single" | "sentinel" | "cluster";
  /** The server, the Sentinels, or some nodes of the Cluster. */
  readonly servers: readonly { readonly host: string; readonly port: number }[];
  /** What the Sentinels call the server. */
  readonly name?: string;
  readonly username?: string;
  readonly password?: string;
  readonly db?: number;
  readonly tls: boolean;
}

const forms = "host:port, redis://…, rediss://…, redis+sentinel://host,host/name or redis+cluster://host,host";

/**
 * Reads `host:port`, `redis://`, `rediss://`, `redis+sentinel://h1,h2/name` and `redis+cluster://h1,h2`; the last two with
 * `rediss` where they speak TLS, all with `user:password@` before the hosts. Throws when it is none of them; the message
 * does not tell what was given: it may hold a password.
 */
export function parseRedisEndpoint(text: string): RedisEndpoint {
  const url = /^(rediss?)(?:\+(sentinel|cluster))?:\/\/(?:([^@/]*)@)?([^@/]+)(?:\/([^/]*))?$/.exec(text);
  if (url === null) return { kind: "single", servers: [parseServer(text, undefined)], tls: false };
  const [, scheme, kind = "single", user, hosts = "", path = ""] = url;
  const common = { ...parseUser(user), tls: scheme === "rediss" };
  if (kind === "cluster") {
    if (path !== "") throw malformed();
    return { kind, servers: parseServers(hosts, 6379), ...common };
  }
  if (kind === "sentinel") {
    if (path === "") throw malformed();
    return { kind, servers: parseServers(hosts, 26_379), name: decoded(path), ...common };
  }
  if (!/^\d*$/.test(path)) throw malformed();
  return { kind: "single", servers: [parseServer(hosts, 6379)], ...(path !== "" && { db: Number(path) }), ...common };
}

function parseServers(hosts: string, port: number): RedisEndpoint["servers"] {
  return hosts.split(",").map((host) => parseServer(host, port));
}

function parseServer(text: string, usualPort: number | undefined): { host: string; port: number } {
  const [, bracketed, plain, digits] = /^(?:\[([0-9a-f:.]+)\]|([^\s/@:,[\]]+))(?::(\d{1,5}))?$/i.exec(text) ?? [];
  const host = bracketed ?? plain;
  const port = digits === undefined ? usualPort : Number(digits);
  if (host === undefined || port === undefined || port < 1 || port > 65_535) throw malformed();
  return { host, port };
}

/** `user:password` or `:password`. A word without a colon could be either. */
function parseUser(text: string | undefined): Pick<RedisEndpoint, "username" | "password"> {
  if (text === undefined || text === "") return {};
  const colon = text.indexOf(":");
  if (colon === -1) throw malformed();
  const username = decoded(text.slice(0, colon));
  return { ...(username !== "" && { username }), password: decoded(text.slice(colon + 1)) };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw malformed();
  }
}

function malformed(): Error {
  return new Error(`not a Redis endpoint: expected ${forms}`);
}
