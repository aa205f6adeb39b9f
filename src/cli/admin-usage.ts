import {
  type FeatureUsage,
  GetUsageResponseSchema,
  ResetUsageResponseSchema,
} from "../../gen/codygateway/v1/actor_admin_pb.js";
import { actorRef, adminClient, printJson } from "./admin-client.js";
import { dollars, featureName, limitText, readFeature, relative, time } from "./admin-format.js";
import { adminUsages } from "./admin-usages.js";
import { repeatWhile } from "./admin-watch.js";
import { readArgs, UsageError } from "./args.js";
import { exitCodes } from "./exit-codes.js";
import { type Io, line } from "./io.js";
import { type Cell, printable, table } from "./table.js";

/** `admin usage`, also with `--reset`. */
export async function usage(args: readonly string[], io: Io): Promise<number> {
  const options = {
    json: { type: "boolean" },
    watch: { type: "boolean" },
    feature: { type: "string" },
    user: { type: "string" },
    reset: { type: "boolean" },
    reason: { type: "string", default: "" },
  } as const;
  const { values, positionals } = readArgs(args, { options, min: 1, max: 1, usage: adminUsages.usage });
  const request = {
    actor: actorRef(positionals[0] ?? ""),
    feature: readFeature(values.feature),
    ...(values.user !== undefined && { endUser: values.user }),
  };
  if (values.reason !== "" && !values.reset) throw new UsageError("--reason goes with --reset");
  if (values.reset && values.watch) throw new UsageError("expected either --reset or --watch");
  const client = adminClient(io);
  if (values.reset) {
    if (values.feature === undefined || values.reason === "")
      throw new UsageError("--reset needs --feature and --reason");
    const response = await client.resetUsage({ ...request, reason: values.reason });
    if (values.json) printJson(io, ResetUsageResponseSchema, response);
    else
      for (const { rateLimit } of response.before)
        line(io.stdout, printable(`was ${rateLimit ? limitText(rateLimit) : ""}`));
    return exitCodes.done;
  }
  return repeatWhile(values.watch === true, io, async (call) => {
    const response = await client.getUsage(request, call);
    if (values.json) printJson(io, GetUsageResponseSchema, response);
    else line(io.stdout, usageText(response.features));
  });
}

function usageText(features: readonly FeatureUsage[]): string {
  const limits = features.flatMap(({ feature, limits: all, inFlight, userLimits, userInFlight }): Cell[][] => [
    ...[...all.map(({ state }) => state), ...userLimits].map((state) => [
      featureName(feature),
      state?.rateLimit ? limitText(state.rateLimit) : "",
      state?.held,
      relative(state?.rateLimit?.resetTime),
    ]),
    ...(inFlight > 0 ? [[featureName(feature), `${inFlight} in flight`, undefined, ""]] : []),
    ...(userInFlight > 0 ? [[featureName(feature), `${userInFlight} in flight by the user`, undefined, ""]] : []),
  ]);
  const windows = features.flatMap(({ feature, limits: all }) =>
    all.flatMap(({ lastWindows }) =>
      lastWindows.map(({ startTime, endTime, used, limit }): Cell[] => [
        featureName(feature),
        time(startTime),
        time(endTime),
        used,
        limit,
      ]),
    ),
  );
  const models = features.flatMap(({ feature, models: all }) =>
    all.map(({ model, requests, inputTokens, outputTokens, microDollars }): Cell[] => [
      featureName(feature),
      model,
      requests,
      inputTokens,
      outputTokens,
      microDollars === undefined ? "" : dollars(microDollars),
    ]),
  );
  return [
    table(["feature", "used", "held", "resets"], limits, "no limits"),
    ...(models.length > 0
      ? ["", table(["feature", "model", "requests", "tokens in", "tokens out", "cost"], models)]
      : []),
    ...(windows.length > 0 ? ["", table(["feature", "window from", "to", "used", "limit"], windows)] : []),
  ].join("\n");
}
