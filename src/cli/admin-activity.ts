import {
  ActivityOutcomeSchema,
  type WatchActivityResponse,
  WatchActivityResponseSchema,
} from "../../gen/codygateway/v1/actor_admin_pb.js";
import type { Usage } from "../../gen/codygateway/v1/common_pb.js";
import { actorRef, adminClient, printJson } from "./admin-client.js";
import { duration, featureName, number, readFeature, reasonName, time, word } from "./admin-format.js";
import { adminUsages } from "./admin-usages.js";
import { untilSignal } from "./admin-watch.js";
import { readArgs } from "./args.js";
import { exitCodes } from "./exit-codes.js";
import { type Io, line } from "./io.js";
import { printable } from "./table.js";

/** `admin watch`: until the process is told to stop. */
export async function watchActivity(args: readonly string[], io: Io): Promise<number> {
  const options = {
    json: { type: "boolean" },
    source: { type: "string", default: "" },
    feature: { type: "string" },
  } as const;
  const usage = adminUsages.watch;
  const { values, positionals } = readArgs(args, { options, min: 0, max: 1, usage });
  const [who] = positionals;
  const request = {
    source: values.source,
    feature: readFeature(values.feature),
    ...(who !== undefined && { actor: actorRef(who) }),
  };
  const client = adminClient(io);
  await untilSignal(io, async (signal) => {
    for await (const response of client.watchActivity(request, { signal })) {
      if (values.json) printJson(io, WatchActivityResponseSchema, response);
      else line(io.stdout, printable(activityText(response)));
    }
  });
  return exitCodes.done;
}

function activityText({ event }: WatchActivityResponse): string {
  if (event.case === "dropped") return `… ${event.value.count} events lost: they came faster than they were read`;
  const activity = event.value?.activity;
  if (!activity) return "";
  const { actor, feature, resolvedModel, model, outcome } = activity;
  const about = [`${actor?.source}/${actor?.id}`, featureName(feature), resolvedModel || model]
    .filter(Boolean)
    .join(" ");
  const what = `${word(ActivityOutcomeSchema, outcome).padEnd(9)} ${about}`;
  const clock = time(activity.time).slice(11, 19);
  if (event.case === "decision") {
    const { reason, rateLimit, times } = event.value;
    const why = reasonName(reason) || (rateLimit ? `${rateLimit.remaining} left` : "");
    return `${clock} ${what}  ${why}${times > 1 ? `, ${number(times)} times` : ""}`.trimEnd();
  }
  if (event.case !== "finished") return "";
  const { usage, duration: took, reason } = event.value;
  return `${clock} ${what}  ${tokens(usage)}${duration(took)} ${reasonName(reason)}`.trimEnd();
}

function tokens(usage: Usage | undefined): string {
  if (usage?.inputTokens === undefined) return "";
  return `${usage.estimated ? "about " : ""}${usage.inputTokens} in, ${usage.outputTokens ?? "?"} out, `;
}
