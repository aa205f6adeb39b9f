import { SendTestAlertResponseSchema } from "../../gen/codygateway/v1/actor_admin_pb.js";
import { adminClient, printJson } from "./admin-client.js";
import { adminUsages } from "./admin-usages.js";
import { readArgs, UsageError } from "./args.js";
import { exitCodes } from "./exit-codes.js";
import { complain, type Io, line } from "./io.js";
import { table } from "./table.js";

/** `admin alerts test`. Fails where nobody is alerted, or a channel did not take it. */
export async function alerts(args: readonly string[], io: Io): Promise<number> {
  const usage = adminUsages.alerts;
  const options = { json: { type: "boolean" }, reason: { type: "string", default: "" } } as const;
  const { values, positionals } = readArgs(args, { options, min: 1, max: 1, usage });
  if (positionals[0] !== "test") throw new UsageError(`usage: ${usage}`);
  if (values.reason === "") throw new UsageError("expected --reason");
  const response = await adminClient(io).sendTestAlert({ reason: values.reason });
  const { deliveries } = response;
  if (values.json) printJson(io, SendTestAlertResponseSchema, response);
  else if (deliveries.length > 0)
    line(
      io.stdout,
      table(
        ["channel", "test alert"],
        deliveries.map(({ channel, error }) => [channel, error || "delivered"]),
      ),
    );
  if (deliveries.length === 0) complain(io, "nobody is alerted: see notifications in the gateway's configuration file");
  return deliveries.length > 0 && deliveries.every(({ error }) => error === "") ? exitCodes.done : exitCodes.failed;
}
