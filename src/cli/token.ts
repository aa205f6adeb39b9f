import { createHash, randomBytes } from "node:crypto";
import { readArgs, UsageError } from "./args.js";
import { exitCodes } from "./exit-codes.js";
import { type Io, json, line } from "./io.js";

/** `token license`, `token pat` and `token admin`. */
export async function runToken(args: readonly string[], io: Io): Promise<number> {
  const options = { json: { type: "boolean" }, role: { type: "string" } } as const;
  const usage = "cody-gateway token license|pat|admin <key, token or name> [--json]";
  const { values, positionals } = readArgs(args, { options, min: 2, max: 2, usage });
  const [command, argument = ""] = positionals;
  const print = (result: { readonly token: string }): number => {
    if (values.json) json(io.stdout, result);
    else line(io.stdout, result.token);
    return exitCodes.done;
  };
  if (command === "admin") return printAdmin(io, makeAdmin(argument, values.role ?? "viewer"), values.json === true);
  if (values.role !== undefined) throw new UsageError("--role is for token admin");
  const secret = argument === "-" ? io.readFile("-").trim() : argument;
  if (secret === "") throw new UsageError("expected a key or token, got nothing");
  if (command === "license") return print({ token: io.tokens.license(secret) });
  if (command !== "pat") throw new UsageError(`usage: ${usage}`);
  const token = io.tokens.pat(secret);
  if (token === undefined) throw new UsageError("expected a personal access token: sgp_… that ends in 40 hex digits");
  return print({ token });
}

interface AdminToken {
  readonly name: string;
  readonly role: string;
  readonly token: string;
  /** What `CODY_GATEWAY_ADMIN_TOKENS` takes. */
  readonly entry: string;
}

function makeAdmin(name: string, role: string): AdminToken {
  if (!/^[A-Za-z0-9._@-]{1,64}$/.test(name)) throw new UsageError("expected a name of letters, digits and . _ @ -");
  if (role !== "viewer" && role !== "operator") throw new UsageError("expected --role viewer or --role operator");
  const token = `cga_${randomBytes(32).toString("hex")}`;
  const sha256 = createHash("sha256").update(token).digest("hex");
  return { name, role, token, entry: `${name}:${role}:${sha256}` };
}

function printAdmin(io: Io, admin: AdminToken, asJson: boolean): number {
  if (asJson) {
    json(io.stdout, admin);
    return exitCodes.done;
  }
  line(io.stdout, `token: ${admin.token}`);
  line(io.stdout, `entry: ${admin.entry}`);
  line(io.stderr, "Keep the token: it is not shown again. Add the entry to CODY_GATEWAY_ADMIN_TOKENS.");
  return exitCodes.done;
}
