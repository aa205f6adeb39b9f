import {
  type ExplainAccessResponse,
  ExplainAccessResponseSchema,
  type RuleCheck,
  RuleCheck_Kind,
  RuleCheck_KindSchema,
} from "../../gen/codygateway/v1/actor_admin_pb.js";
import { actorQuery, adminClient, printJson } from "./admin-client.js";
import { limitText, readFeature, reasonName, relative, time, word } from "./admin-format.js";
import { adminUsages } from "./admin-usages.js";
import { readArgs, UsageError } from "./args.js";
import { exitCodes } from "./exit-codes.js";
import { type Io, line } from "./io.js";
import { printable, table } from "./table.js";

/** `admin explain`. */
export async function explain(args: readonly string[], io: Io): Promise<number> {
  const options = {
    json: { type: "boolean" },
    token: { type: "string" },
    feature: { type: "string" },
    model: { type: "string", default: "" },
    tokens: { type: "string" },
    user: { type: "string", default: "" },
  } as const;
  const usage = adminUsages.explain;
  const { values, positionals } = readArgs(args, { options, min: 0, max: 1, usage });
  if (values.tokens !== undefined && !/^\d{1,15}$/.test(values.tokens))
    throw new UsageError("expected --tokens to be a whole number");
  const response = await adminClient(io).explainAccess({
    caller: actorQuery(positionals[0], values.token, io),
    feature: readFeature(values.feature),
    model: values.model,
    endUser: values.user,
    ...(values.tokens !== undefined && { tokens: BigInt(values.tokens) }),
  });
  if (values.json) printJson(io, ExplainAccessResponseSchema, response);
  else line(io.stdout, explainText(response));
  return exitCodes.done;
}

function explainText({
  allowed,
  reason,
  message,
  retryTime,
  actor,
  resolvedModel,
  checks,
}: ExplainAccessResponse): string {
  const who = actor?.ref ? `${actor.ref.source}/${actor.ref.id} ${actor.name}` : "nobody known";
  const verdict = allowed ? "allowed" : `refused: ${message} (${reasonName(reason)})`;
  const again = retryTime ? [`again at ${time(retryTime)} (${relative(retryTime)})`] : [];
  const model = resolvedModel === "" ? [] : [`model ${resolvedModel}`];
  const rows = checks.map((check) => [
    check.passed ? "ok" : "no",
    word(RuleCheck_KindSchema, check.kind),
    checkText(check),
  ]);
  return [...[who, verdict, ...again, ...model].map(printable), "", table(["", "rule", ""], rows)].join("\n");
}

function checkText({ kind, detail, limit, requested, inFlight, inFlightLimit, perUser }: RuleCheck): string {
  if (kind === RuleCheck_Kind.IN_FLIGHT && inFlightLimit !== undefined)
    return `${inFlight} of ${inFlightLimit} in flight${perUser ? " by the user" : ""}`;
  if (!limit?.rateLimit) return detail;
  return `${limitText(limit.rateLimit)}, asks for ${requested}`;
}
