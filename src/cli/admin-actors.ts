import {
  type Actor,
  ActorOrder,
  ActorSchema,
  type FeatureAccess,
  type GetActorResponse,
  GetActorResponseSchema,
  RefreshActorResponseSchema,
} from "../../gen/codygateway/v1/actor_admin_pb.js";
import { actorQuery, adminClient, printJson } from "./admin-client.js";
import { featureName, limitText, originName, relative, time } from "./admin-format.js";
import { overridesTable, perUserText } from "./admin-overrides.js";
import { adminUsages } from "./admin-usages.js";
import { readArgs, UsageError } from "./args.js";
import { exitCodes } from "./exit-codes.js";
import { type Io, line } from "./io.js";
import { type Cell, printable, table } from "./table.js";

const orders: Readonly<Record<string, ActorOrder>> = {
  id: ActorOrder.ID,
  name: ActorOrder.NAME,
  refreshed: ActorOrder.REFRESH_TIME,
};

/** `admin actors`. */
export async function listActors(args: readonly string[], io: Io): Promise<number> {
  const options = {
    json: { type: "boolean" },
    source: { type: "string", default: "" },
    text: { type: "string", default: "" },
    "over-limit": { type: "boolean" },
    overridden: { type: "boolean" },
    disabled: { type: "boolean" },
    order: { type: "string", default: "id" },
    descending: { type: "boolean", default: false },
    limit: { type: "string", default: "100" },
  } as const;
  const { values } = readArgs(args, { options, min: 0, max: 0, usage: adminUsages.actors });
  const order = Object.hasOwn(orders, values.order) ? orders[values.order] : undefined;
  if (order === undefined) throw new UsageError(`expected --order ${Object.keys(orders).join(" or ")}`);
  const query = {
    source: values.source,
    text: values.text,
    order,
    descending: values.descending,
    ...(values["over-limit"] && { overLimit: true }),
    ...(values.overridden && { overridden: true }),
    ...(values.disabled && { accessEnabled: false }),
  };
  const client = adminClient(io);
  const limit = readCount(values.limit);
  const { actors, more, total } = await readPages(limit, (pageSize, pageToken) =>
    client.listActors({ ...query, pageSize, pageToken }),
  );
  if (values.json) for (const actor of actors) printJson(io, ActorSchema, actor);
  else {
    line(
      io.stdout,
      table(
        ["actor", "name", "access", "features", "over limit", "overrides", "tokens", "refreshed"],
        actors.map(row),
        "no such actors",
      ),
    );
    if (more)
      line(io.stderr, `the first ${actors.length}${total === undefined ? "" : ` of ${total}`}: --limit shows more`);
  }
  return exitCodes.done;
}

interface ActorPage {
  readonly actors: readonly Actor[];
  readonly nextPageToken: string;
  readonly totalSize?: number | undefined;
}

async function readPages(limit: number, read: (pageSize: number, pageToken: string) => Promise<ActorPage>) {
  const actors: Actor[] = [];
  let token = "";
  let total: number | undefined;
  do {
    const page = await read(Math.min(1_000, limit - actors.length), token);
    actors.push(...page.actors);
    token = page.nextPageToken;
    total = page.totalSize ?? total;
  } while (token !== "" && actors.length < limit);
  return { actors, more: token !== "", total };
}

export function readCount(text: string): number {
  if (!/^[1-9]\d{0,6}$/.test(text)) throw new UsageError("expected --limit to be a whole number from 1");
  return Number(text);
}

function row({
  ref,
  name,
  accessEnabled,
  features,
  overLimitFeatures,
  overrideNames,
  tokenCount,
  refreshTime,
  stale,
}: Actor): Cell[] {
  const names = (list: Actor["features"]): string => list.map(featureName).join(" ");
  const access = accessEnabled ? "yes" : "no";
  const refreshed = `${relative(refreshTime)}${stale ? ", stale" : ""}`;
  return [
    `${ref?.source}/${ref?.id}`,
    name,
    access,
    names(features),
    names(overLimitFeatures),
    overrideNames.join(" "),
    tokenCount,
    refreshed,
  ];
}

/** `admin actor`. */
export async function showActor(args: readonly string[], io: Io): Promise<number> {
  const options = { json: { type: "boolean" }, token: { type: "string" } } as const;
  const usage = adminUsages.actor;
  const { values, positionals } = readArgs(args, { options, min: 0, max: 1, usage });
  const query = actorQuery(positionals[0], values.token, io);
  const response = await adminClient(io).getActor({ query });
  if (values.json) printJson(io, GetActorResponseSchema, response);
  else line(io.stdout, actorText(response));
  return exitCodes.done;
}

function actorText({ actor, features, accessOrigin, overrides, tokens }: GetActorResponse): string {
  const access = `${actor?.accessEnabled ? "yes" : "no"}, by ${originName(accessOrigin)}`;
  const told = actor?.noAccessMessage ?? "";
  const refreshed = `${time(actor?.refreshTime)} (${relative(actor?.refreshTime)})${actor?.stale ? ", stale" : ""}`;
  const head = [
    ["actor", `${actor?.ref?.source}/${actor?.ref?.id}`],
    ["name", actor?.name],
    ["access", access],
    ...(told === "" ? [] : [["is told", told]]),
    ["refreshed", refreshed],
  ];
  const tokenRows = tokens.map(({ id, revocation }): Cell[] => [
    // Whole: it is what `revoke --id` takes.
    id,
    revocation ? `revoked by ${revocation.revokedBy}: ${revocation.reason}` : "accepted",
  ]);
  return [
    ...head.map(([name = "", value = ""]) => `${name.padEnd(10)} ${printable(value)}`),
    "",
    featuresTable(features),
    ...(overrides.length > 0 ? ["", overridesTable(overrides)] : []),
    ...(tokens.length > 0 ? ["", table(["token id", ""], tokenRows)] : []),
  ].join("\n");
}

function featuresTable(features: readonly FeatureAccess[]): string {
  const rows = features.flatMap((access): Cell[][] => {
    const { feature, limits, inFlight, inFlightLimit, inFlightLimitOrigin, allowedModels, allowedModelsOrigin } =
      access;
    const { perUser, perUserOrigin } = access;
    const name = featureName(feature);
    return [
      ...limits.map(({ rateLimit, origin }) => [
        name,
        rateLimit ? limitText(rateLimit) : "",
        rateLimit ? relative(rateLimit.resetTime) : "",
        originName(origin),
      ]),
      ...(limits.length === 0 ? [[name, "no limit", "", ""]] : []),
      ...(inFlightLimit === undefined
        ? []
        : [[name, `${inFlight} of ${inFlightLimit} in flight`, "", originName(inFlightLimitOrigin)]]),
      ...(perUser ? [[name, perUserText(perUser), "", originName(perUserOrigin)]] : []),
      [name, `models ${allowedModels.join(", ")}`, "", originName(allowedModelsOrigin)],
    ];
  });
  return table(["feature", "limit", "resets", "by"], rows, "no feature");
}

/** `admin refresh`. */
export async function refreshActor(args: readonly string[], io: Io): Promise<number> {
  const options = {
    json: { type: "boolean" },
    token: { type: "string" },
    reason: { type: "string", default: "" },
  } as const;
  const usage = adminUsages.refresh;
  const { values, positionals } = readArgs(args, { options, min: 0, max: 1, usage });
  const query = actorQuery(positionals[0], values.token, io);
  const response = await adminClient(io).refreshActor({ query, reason: values.reason });
  if (values.json) printJson(io, RefreshActorResponseSchema, response);
  else {
    const { actor, changed, features } = response;
    line(
      io.stdout,
      `${actor?.ref?.source}/${actor?.ref?.id} ${changed ? "has changed" : "is as it was"}\n\n${featuresTable(features)}`,
    );
  }
  return exitCodes.done;
}
