// What every `admin` command begins and ends with: the client, the actor it is about, what went wrong.

import { type DescMessage, type MessageShape, toJson } from "@bufbuild/protobuf";
import { callFailure, createAdminClient } from "../client.js";
import { UsageError } from "./args.js";
import { exitCodes } from "./exit-codes.js";
import { complain, type Io, json } from "./io.js";
import { printable } from "./table.js";

export type AdminClient = ReturnType<typeof createAdminClient>;

/** How long a command waits for an answer. What is streamed may be silent for as long as it likes. */
const answerMs = 60_000;

/** The client that the environment describes. Throws `UsageError` when it does not. */
export function adminClient(io: Io): AdminClient {
  const baseUrl = io.env["CODY_GATEWAY_URL"]?.trim() ?? "";
  const token = io.env["CODY_GATEWAY_ADMIN_TOKEN"]?.trim() ?? "";
  if (!URL.canParse(baseUrl) || !/^https?:/.test(baseUrl))
    throw new UsageError("expected CODY_GATEWAY_URL to be the gateway's address, such as http://127.0.0.1:9992");
  if (token === "")
    throw new UsageError(
      "expected CODY_GATEWAY_ADMIN_TOKEN to be an admin credential: cody-gateway token admin makes one",
    );
  // What cannot be sent would be shown in full by what refuses to.
  if (!/^[\x21-\x7e]+$/.test(token))
    throw new UsageError("expected CODY_GATEWAY_ADMIN_TOKEN to be the credential alone, without spaces or line breaks");
  return createAdminClient({ baseUrl, token, timeoutMs: answerMs });
}

/** Which actor a command is about. */
export type ActorQuery =
  | { readonly case: "actor"; readonly value: { readonly source: string; readonly id: string } }
  | { readonly case: "accessToken"; readonly value: string };

/** From `source/id`, or from a token where `--token` is given. Throws `UsageError` for neither. */
export function actorQuery(text: string | undefined, token: string | undefined, io: Io): ActorQuery {
  if (token !== undefined && text === undefined) return { case: "accessToken", value: readSecret(token, io) };
  if (text !== undefined && token === undefined) return { case: "actor", value: actorRef(text) };
  throw new UsageError("expected either source/id or --token -");
}

/** `source/id`; the id may have slashes of its own. */
export function actorRef(text: string): { source: string; id: string } {
  const slash = text.indexOf("/");
  if (slash < 1 || slash === text.length - 1)
    throw new UsageError("expected an actor as source/id, such as static/acme");
  return { source: text.slice(0, slash), id: text.slice(slash + 1) };
}

/** `-` is read from standard input, and so stays out of the shell's history. */
export function readSecret(text: string, io: Io): string {
  const secret = text === "-" ? io.readFile("-").trim() : text;
  if (secret === "") throw new UsageError("expected a token, got nothing");
  return secret;
}

/** Prints a message as one line of JSON, as Connect has it. */
export function printJson<Desc extends DescMessage>(io: Io, schema: Desc, message: MessageShape<Desc>): void {
  json(io.stdout, toJson(schema, message));
}

/** Says what went wrong and what to do about it; returns the exit code. Throws what is no answer of the gateway. */
export function refuseCall(error: unknown, io: Io): number {
  const failure = callFailure(error);
  if (!failure) throw error;
  const { kind, reason, metadata } = failure;
  const message = printable(failure.message);
  const at = `the gateway at ${io.env["CODY_GATEWAY_URL"]?.trim()}`;
  if (kind === "refused") {
    complain(io, `${message}${reason === undefined ? "" : ` (${reason})`}${advice[reason ?? ""]?.(metadata) ?? ""}`);
    return exitCodes.failed;
  }
  if (kind === "unreachable") complain(io, `${at} cannot be reached: ${message}`);
  else complain(io, `${at} has no administration: ${message}\nWith CODY_GATEWAY_ADMIN_PORT it is on that port.`);
  return exitCodes.unreachable;
}

const advice: Readonly<Record<string, (metadata: Readonly<Record<string, string>>) => string>> = {
  TOKEN_MISSING: () => "\nCODY_GATEWAY_ADMIN_TOKEN must be an admin credential.",
  TOKEN_INVALID: () =>
    "\nCODY_GATEWAY_ADMIN_TOKEN must be an admin credential of this gateway: see its CODY_GATEWAY_ADMIN_TOKENS.",
  ROLE_MISSING: ({ role = "operator" }) =>
    `\nThis needs the role ${role}: of an entry of CODY_GATEWAY_ADMIN_TOKENS, or by the scopes of a SAMS token.`,
};
