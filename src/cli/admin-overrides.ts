import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type ActorOverride,
  ActorOverrideSchema,
  ClearActorOverrideResponseSchema,
  SetActorOverrideResponseSchema,
} from "../../gen/codygateway/v1/actor_admin_pb.js";
import { Unit } from "../../gen/codygateway/v1/common_pb.js";
import { type AdminClient, actorRef, adminClient, printJson } from "./admin-client.js";
import { duration, featureName, number, readFeature, relative, time, unitName } from "./admin-format.js";
import { readArgs, UsageError } from "./args.js";
import { exitCodes } from "./exit-codes.js";
import { type Io, line } from "./io.js";
import { table } from "./table.js";

const options = {
  json: { type: "boolean" },
  reason: { type: "string", default: "" },
  expires: { type: "string" },
  "in-flight": { type: "string" },
  clear: { type: "boolean" },
} as const;

/** `admin override`: shows, sets, or with `--clear` removes. */
export async function overrides(args: readonly string[], io: Io): Promise<number> {
  const usage = "cody-gateway admin override [source/id] [access|limits|models …] [--clear] [--reason why] [--json]";
  const { values, positionals } = readArgs(args, { options, min: 0, max: 200, usage });
  const [who, what, ...rest] = positionals;
  const client = adminClient(io);
  if (what === undefined && !values.clear) return show(client, who, values.json === true, io);
  if (values.reason === "") throw new UsageError("expected --reason");
  const actor = actorRef(who ?? "");
  if (values.clear) {
    const which =
      what === undefined ? ({ case: "all", value: true } as const) : ({ case: "name", value: what } as const);
    const response = await client.clearActorOverride({ actor, which, reason: values.reason });
    if (values.json) printJson(io, ClearActorOverrideResponseSchema, response);
    else line(io.stdout, `removed\n${overridesTable(response.overrides)}`);
    return exitCodes.done;
  }
  const expireTime =
    values.expires === undefined ? undefined : timestampFromMs(Date.now() + readDuration(values.expires));
  const response = await client.setActorOverride({
    actor,
    subject: readSubject(what ?? "", rest, values["in-flight"]),
    reason: values.reason,
    ...(expireTime && { expireTime }),
  });
  if (values.json) printJson(io, SetActorOverrideResponseSchema, response);
  else line(io.stdout, overridesTable(response.override ? [response.override] : []));
  return exitCodes.done;
}

async function show(client: AdminClient, who: string | undefined, asJson: boolean, io: Io): Promise<number> {
  const found: ActorOverride[] = [];
  let pageToken = "";
  do {
    const page = await client.listActorOverrides({
      pageToken,
      pageSize: 1_000,
      ...(who !== undefined && { actor: actorRef(who) }),
    });
    found.push(...page.overrides);
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  if (asJson) for (const each of found) printJson(io, ActorOverrideSchema, each);
  else line(io.stdout, overridesTable(found));
  return exitCodes.done;
}

function readSubject(what: string, rest: readonly string[], inFlight: string | undefined) {
  const [first = "", ...others] = rest;
  if (inFlight !== undefined && what !== "limits") throw new UsageError("--in-flight goes with limits");
  if (what === "access") {
    if (!/^(on|off)$/.test(first) || others.length > 0) throw new UsageError("expected access on or access off");
    return { case: "access" as const, value: { enabled: first === "on" } };
  }
  if (what !== "limits" && what !== "models") throw new UsageError("expected access, limits or models");
  if (first === "") throw new UsageError(`expected ${what} <feature> …`);
  const feature = readFeature(first);
  if (what === "models") return { case: "allowedModels" as const, value: { feature, models: [...others] } };
  if (inFlight !== undefined && !/^[1-9]\d{0,6}$/.test(inFlight))
    throw new UsageError("expected --in-flight to be a whole number from 1");
  const limits = others.map(readLimit);
  return {
    case: "limits" as const,
    value: { feature, limits, ...(inFlight !== undefined && { inFlightLimit: Number(inFlight) }) },
  };
}

/** `500/24h`, `2000000tokens/30d`, `5000000microdollars/30d`. */
function readLimit(text: string) {
  const [, limit, unit = "", interval] = /^(\d{1,16})(requests|tokens|microdollars)?\/(\S+)$/.exec(text) ?? [];
  if (limit === undefined || interval === undefined)
    throw new UsageError("expected a limit such as 500/24h or 2000000tokens/30d");
  const units = {
    "": Unit.UNSPECIFIED,
    requests: Unit.REQUESTS,
    tokens: Unit.TOKENS,
    microdollars: Unit.MICRO_DOLLARS,
  };
  return {
    limit: BigInt(limit),
    unit: units[unit as keyof typeof units],
    interval: durationFromMs(readDuration(interval)),
  };
}

/** ms of `30s`, `10m`, `24h` or `30d`. */
export function readDuration(text: string): number {
  const [, count, unit] = /^(\d{1,6})(s|m|h|d)$/.exec(text) ?? [];
  const lengths = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
  if (count === undefined) throw new UsageError("expected a duration such as 30s, 10m, 24h or 30d");
  return Number(count) * lengths[unit as keyof typeof lengths];
}

export function overridesTable(all: readonly ActorOverride[]): string {
  const rows = all.map((override) => [
    `${override.actor?.source}/${override.actor?.id}`,
    override.name,
    subjectText(override.subject),
    override.reason,
    `${override.setBy}, ${time(override.setTime)}`,
    override.expireTime ? relative(override.expireTime) : "never",
  ]);
  return table(["actor", "override", "", "reason", "set by", "ends"], rows, "no overrides");
}

function subjectText(subject: ActorOverride["subject"]): string {
  if (subject.case === "access") return subject.value.enabled ? "on" : "off";
  if (subject.case === "allowedModels")
    return subject.value.models.join(" ") || `no ${featureName(subject.value.feature)}`;
  if (subject.case !== "limits") return "";
  const { limits, inFlightLimit } = subject.value;
  const texts = limits.map(({ limit, unit, interval }) => `${number(limit)} ${unitName(unit)}/${duration(interval)}`);
  return [...texts, ...(inFlightLimit === undefined ? [] : [`${inFlightLimit} in flight`])].join(", ");
}
