import {
  type FlaggedRequest,
  FlaggedRequestSchema,
  GetFlaggedRequestResponseSchema,
} from "../../gen/codygateway/v1/actor_admin_pb.js";
import { actorRef, adminClient, printJson } from "./admin-client.js";
import { featureName, relative, time } from "./admin-format.js";
import { adminUsages } from "./admin-usages.js";
import { readArgs, UsageError } from "./args.js";
import { exitCodes } from "./exit-codes.js";
import { type Io, line } from "./io.js";
import { printable, table } from "./table.js";

/** `admin flagged`: the list, or with a key one prompt. */
export async function flagged(args: readonly string[], io: Io): Promise<number> {
  const options = {
    json: { type: "boolean" },
    actor: { type: "string" },
    blocked: { type: "boolean" },
    reason: { type: "string", default: "" },
  } as const;
  const usage = adminUsages.flagged;
  const { values, positionals } = readArgs(args, { options, min: 0, max: 1, usage });
  const [key] = positionals;
  if (key !== undefined) {
    if (values.reason === "") throw new UsageError("expected --reason");
    if (values.actor !== undefined || values.blocked)
      throw new UsageError("expected either a key, or --actor and --blocked");
    return show(key, values.reason, values.json === true, io);
  }
  if (values.reason !== "") throw new UsageError("expected a key with --reason");
  const client = adminClient(io);
  const found: FlaggedRequest[] = [];
  let pageToken = "";
  do {
    const page = await client.listFlaggedRequests({
      pageToken,
      pageSize: 1_000,
      ...(values.actor !== undefined && { actor: actorRef(values.actor) }),
      ...(values.blocked && { blocked: true }),
    });
    found.push(...page.requests);
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  if (values.json) for (const each of found) printJson(io, FlaggedRequestSchema, each);
  else line(io.stdout, requestsTable(found));
  return exitCodes.done;
}

async function show(key: string, reason: string, asJson: boolean, io: Io): Promise<number> {
  const response = await adminClient(io).getFlaggedRequest({ key, reason });
  if (asJson) printJson(io, GetFlaggedRequestResponseSchema, response);
  else {
    line(io.stdout, requestsTable(response.request ? [response.request] : []));
    line(io.stdout, "");
    for (const each of response.prompt.split("\n")) line(io.stdout, printable(each));
  }
  return exitCodes.done;
}

function requestsTable(requests: readonly FlaggedRequest[]): string {
  const rows = requests.map(({ key, actor, feature, model, reasons, blocked, flagTime, expireTime }) => [
    time(flagTime),
    `${actor?.source}/${actor?.id}`,
    featureName(feature),
    model,
    `${reasons.join(", ")}${blocked ? " (blocked)" : ""}`,
    relative(expireTime),
    key,
  ]);
  return table(
    ["flagged", "actor", "feature", "model", "reasons", "kept until", "key"],
    rows,
    "no flagged prompts are kept",
  );
}
