// `admin …`: the administration RPCs as commands.

import { watchActivity } from "./admin-activity.js";
import { listActors, refreshActor, showActor } from "./admin-actors.js";
import { alerts } from "./admin-alerts.js";
import { listAudit } from "./admin-audit.js";
import { refuseCall } from "./admin-client.js";
import { explain } from "./admin-explain.js";
import { flagged } from "./admin-flagged.js";
import { overrides } from "./admin-overrides.js";
import { listSources, syncSources } from "./admin-sources.js";
import { revoke } from "./admin-tokens.js";
import { usage } from "./admin-usage.js";
import { UsageError } from "./args.js";
import type { Io } from "./io.js";

type Command = (args: readonly string[], io: Io) => Promise<number>;

const commands: Readonly<Record<string, Command>> = {
  sources: listSources,
  sync: syncSources,
  actors: listActors,
  actor: showActor,
  refresh: refreshActor,
  usage,
  explain,
  override: overrides,
  revoke,
  flagged,
  alerts,
  audit: listAudit,
  watch: watchActivity,
};

export async function runAdmin(args: readonly string[], io: Io): Promise<number> {
  const [name = "", ...rest] = args;
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (!command) throw new UsageError(`expected one of ${Object.keys(commands).join(", ")}`);
  try {
    return await command(rest, io);
  } catch (error) {
    return refuseCall(error, io);
  }
}
