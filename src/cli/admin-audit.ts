import { type DescMessage, fromJson, type JsonObject, type MessageShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type ActorOverride,
  ActorOverrideSchema,
  ActorTokenSchema,
  type AuditEntry,
  AuditEntrySchema,
  ClearActorOverrideResponseSchema,
  LimitStateSchema,
} from "../../gen/codygateway/v1/actor_admin_pb.js";
import { readCount } from "./admin-actors.js";
import { actorRef, adminClient, printJson } from "./admin-client.js";
import { limitText, reasonName, time } from "./admin-format.js";
import { readDuration, subjectText } from "./admin-overrides.js";
import { adminUsages } from "./admin-usages.js";
import { readArgs } from "./args.js";
import { exitCodes } from "./exit-codes.js";
import { type Io, line } from "./io.js";
import { table } from "./table.js";

/** `admin audit`. */
export async function listAudit(args: readonly string[], io: Io): Promise<number> {
  const options = {
    json: { type: "boolean" },
    admin: { type: "string", default: "" },
    rpc: { type: "string", default: "" },
    since: { type: "string" },
    limit: { type: "string", default: "100" },
  } as const;
  const usage = adminUsages.audit;
  const { values, positionals } = readArgs(args, { options, min: 0, max: 1, usage });
  const [who] = positionals;
  const limit = readCount(values.limit);
  const query = {
    admin: values.admin,
    rpc: values.rpc,
    ...(who !== undefined && { actor: actorRef(who) }),
    ...(values.since !== undefined && { startTime: timestampFromMs(Date.now() - readDuration(values.since)) }),
  };
  const client = adminClient(io);
  const found: AuditEntry[] = [];
  let pageToken = "";
  do {
    const page = await client.listAuditEntries({
      ...query,
      pageToken,
      pageSize: Math.min(1_000, limit - found.length),
    });
    found.push(...page.entries);
    pageToken = page.nextPageToken;
  } while (pageToken !== "" && found.length < limit);
  if (values.json) for (const entry of found) printJson(io, AuditEntrySchema, entry);
  else line(io.stdout, auditTable(found));
  if (pageToken !== "") line(io.stderr, `the last ${found.length}: --limit shows more`);
  return exitCodes.done;
}

function auditTable(entries: readonly AuditEntry[]): string {
  const rows = entries.map((entry) => {
    const { time: at, admin, rpc, actor, source, reason, error } = entry;
    const to = actor ? `${actor.source}/${actor.id}` : source;
    return [time(at), admin, rpc, to, changeText(entry), reasonName(error) || "done", reason];
  });
  return table(["time", "admin", "did", "to", "what", "", "reason"], rows, "no entries");
}

/** What was changed, as far as the entry tells. */
function changeText({ rpc, before, after }: AuditEntry): string {
  if (rpc === "SetActorOverride") {
    const set = read(ActorOverrideSchema, after);
    const replaced = read(ActorOverrideSchema, before);
    return set ? `${set.name}: ${replaced ? `${overrideText(replaced)} → ` : ""}${overrideText(set)}` : "";
  }
  if (rpc === "ClearActorOverride") {
    const { overrides = [] } = read(ClearActorOverrideResponseSchema, before) ?? {};
    return overrides.map((each) => `${each.name}: ${overrideText(each)} → none`).join("; ");
  }
  if (rpc === "RevokeToken" || rpc === "LiftRevocation") {
    const { id, revocation } = read(ActorTokenSchema, after ?? before) ?? {};
    const until = rpc === "RevokeToken" && revocation?.expireTime ? ` until ${time(revocation.expireTime)}` : "";
    return id ? `token ${id.slice(0, 16)}${until}` : "";
  }
  if (rpc === "ResetUsage") return resetText(before);
  if (rpc === "SyncSource")
    return [after?.["dryRun"] === true && "dry run", after?.["allowShrink"] === true && "allow shrink"]
      .filter(Boolean)
      .join(", ");
  const key = after?.["key"];
  return typeof key === "string" ? key : "";
}

function overrideText({ subject, expireTime }: ActorOverride): string {
  return `${subjectText(subject)}${expireTime ? ` until ${time(expireTime)}` : ""}`;
}

function resetText(before: JsonObject | undefined): string {
  const limits = before?.["limits"];
  if (!Array.isArray(limits)) return "";
  const texts = limits.flatMap((limit) => {
    const { rateLimit } = read(LimitStateSchema, limit as JsonObject) ?? {};
    return rateLimit ? [limitText(rateLimit)] : [];
  });
  const endUser = before?.["endUser"];
  return `was ${texts.join(", ")}${typeof endUser === "string" ? ` ${JSON.stringify(endUser)}` : ""}`;
}

/** Undefined where it is not there, or is of another version of the gateway. */
function read<Desc extends DescMessage>(schema: Desc, json: JsonObject | undefined): MessageShape<Desc> | undefined {
  if (json === undefined) return undefined;
  try {
    return fromJson(schema, json, { ignoreUnknownFields: true });
  } catch {
    return undefined;
  }
}
