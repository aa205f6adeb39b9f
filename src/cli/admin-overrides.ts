import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type ActorOverride,
  ActorOverrideSchema,
  ClearActorOverrideResponseSchema,
  type LimitRule,
  type PerUserLimits,
  SetActorOverrideResponseSchema,
} from "../../gen/codygateway/v1/actor_admin_pb.js";
import { Unit } from "../../gen/codygateway/v1/common_pb.js";
import { type AdminClient, actorRef, adminClient, printJson } from "./admin-client.js";
import { duration, featureName, number, readFeature, relative, time, unitName } from "./admin-format.js";
import { adminUsages } from "./admin-usages.js";
import { readArgs, UsageError } from "./args.js";
import { exitCodes } from "./exit-codes.js";
import { type Io, line } from "./io.js";
import { table } from "./table.js";

const options = {
  json: { type: "boolean" },
  reason: { type: "string", default: "" },
  expires: { type: "string" },
  "in-flight": { type: "string" },
  "per-user": { type: "string", multiple: true },
  "per-user-in-flight": { type: "string" },
  clear: { type: "boolean" },
} as const;

/** `admin override`: shows, sets, or with `--clear` removes. */
export async function overrides(args: readonly string[], io: Io): Promise<number> {
  const usage = adminUsages.override;
  const { values, positionals } = readArgs(args, { options, min: 0, max: 200, usage });
  const [who, what, ...rest] = positionals;
  const { json, clear, reason, ...setting } = values;
  const sets = Object.values(setting).some((value) => value !== undefined);
  const client = adminClient(io);
  if (what === undefined && !clear) {
    if (sets || reason !== "") throw new UsageError("expected access, limits or models, or --clear");
    return show(client, who, json === true, io);
  }
  if (reason === "") throw new UsageError("expected --reason");
  const actor = actorRef(who ?? "");
  if (clear) {
    if (sets || rest.length > 0)
      throw new UsageError("expected nothing beside --clear but one name, such as limits/chat_completions");
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
    subject: readSubject(what ?? "", rest, {
      inFlight: values["in-flight"],
      perUser: values["per-user"],
      perUserInFlight: values["per-user-in-flight"],
    }),
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

/** Options of `limits` alone. */
interface LimitOptions {
  readonly inFlight: string | undefined;
  readonly perUser: readonly string[] | undefined;
  readonly perUserInFlight: string | undefined;
}

function readSubject(what: string, rest: readonly string[], given: LimitOptions) {
  const [first = "", ...others] = rest;
  if (what !== "limits" && Object.values(given).some((value) => value !== undefined))
    throw new UsageError("--in-flight, --per-user and --per-user-in-flight go with limits");
  if (what === "access") {
    if (!/^(on|off)$/.test(first) || others.length > 0) throw new UsageError("expected access on or access off");
    return { case: "access" as const, value: { enabled: first === "on" } };
  }
  if (what !== "limits" && what !== "models") throw new UsageError("expected access, limits or models");
  if (first === "") throw new UsageError(`expected ${what} <feature> …`);
  const feature = readFeature(first);
  if (what === "models") return { case: "allowedModels" as const, value: { feature, models: [...others] } };
  const inFlightLimit = readSlots("--in-flight", given.inFlight);
  const perUser = readPerUser(given);
  const limits = others.map(readLimit);
  const value = { feature, limits, ...(inFlightLimit !== undefined && { inFlightLimit }), ...(perUser && { perUser }) };
  return { case: "limits" as const, value };
}

function readSlots(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^[1-9]\d{0,6}$/.test(text)) throw new UsageError(`expected ${option} to be a whole number from 1`);
  return Number(text);
}

/** `50/24h` and `20%`, any number of the one and one of the other; `none` alone is no limit of each user. */
function readPerUser({ perUser = [], perUserInFlight }: LimitOptions) {
  const inFlightLimit = readSlots("--per-user-in-flight", perUserInFlight);
  if (perUser.length === 0 && inFlightLimit === undefined) return undefined;
  const none = perUser.includes("none");
  if (none && (perUser.length > 1 || inFlightLimit !== undefined))
    throw new UsageError("expected --per-user none alone");
  const shares = perUser.filter((text) => text.endsWith("%"));
  if (shares.length > 1) throw new UsageError("expected one share in --per-user");
  const [percentage] = shares.map(readShare);
  const limits = none ? [] : perUser.filter((text) => !text.endsWith("%")).map(readLimit);
  return {
    limits,
    ...(inFlightLimit !== undefined && { inFlightLimit }),
    ...(percentage !== undefined && { percentage }),
  };
}

function readShare(text: string): number {
  const value = /^\d{1,3}(\.\d+)?%$/.test(text) ? Number(text.slice(0, -1)) : Number.NaN;
  if (!(value > 0 && value <= 100)) throw new UsageError("expected a share above 0% and up to 100%");
  return value;
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

/** `on`, `500 requests/1 d, 20 in flight`, `anthropic/*`. */
export function subjectText(subject: ActorOverride["subject"]): string {
  if (subject.case === "access") return subject.value.enabled ? "on" : "off";
  if (subject.case === "allowedModels")
    return subject.value.models.join(" ") || `no ${featureName(subject.value.feature)}`;
  if (subject.case !== "limits") return "";
  const { limits, inFlightLimit, perUser } = subject.value;
  return [limitsText(limits, inFlightLimit), ...(perUser ? [perUserText(perUser)] : [])].filter(Boolean).join("; ");
}

/** `50 requests/1 d, 20% of all for each user`. */
export function perUserText({ limits, inFlightLimit, percentage }: PerUserLimits): string {
  const share = percentage === undefined ? [] : [`${percentage}% of all`];
  const text = [...share, limitsText(limits, inFlightLimit)].filter(Boolean).join(", ");
  return text === "" ? "no limit of each user" : `${text} for each user`;
}

function limitsText(limits: readonly LimitRule[], inFlightLimit: number | undefined): string {
  const texts = limits.map(({ limit, unit, interval, models }) => {
    const which = models.length > 0 ? ` of ${models.join(" ")}` : "";
    return `${number(limit)} ${unitName(unit)}/${duration(interval)}${which}`;
  });
  return [...texts, ...(inFlightLimit === undefined ? [] : [`${inFlightLimit} in flight`])].join(", ");
}
