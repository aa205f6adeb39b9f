import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { LiftRevocationResponseSchema, RevokeTokenResponseSchema } from "../../gen/codygateway/v1/actor_admin_pb.js";
import { adminClient, printJson, readSecret } from "./admin-client.js";
import { readDuration } from "./admin-overrides.js";
import { adminUsages } from "./admin-usages.js";
import { readArgs, UsageError } from "./args.js";
import { exitCodes } from "./exit-codes.js";
import { type Io, line } from "./io.js";

/** `admin revoke`, also with `--lift`. */
export async function revoke(args: readonly string[], io: Io): Promise<number> {
  const options = {
    json: { type: "boolean" },
    id: { type: "string" },
    reason: { type: "string", default: "" },
    expires: { type: "string" },
    lift: { type: "boolean" },
  } as const;
  const usage = adminUsages.revoke;
  const { values, positionals } = readArgs(args, { options, min: 0, max: 1, usage });
  const [text] = positionals;
  if ((text === undefined) === (values.id === undefined)) throw new UsageError("expected either a token or --id");
  if (values.reason === "") throw new UsageError("expected --reason");
  if (values.lift && values.expires !== undefined) throw new UsageError("expected either --lift or --expires");
  const token =
    values.id === undefined
      ? ({ case: "accessToken", value: readSecret(text ?? "", io) } as const)
      : ({ case: "tokenId", value: values.id } as const);
  const client = adminClient(io);
  if (values.lift) {
    const response = await client.liftRevocation({ token, reason: values.reason });
    if (values.json) printJson(io, LiftRevocationResponseSchema, response);
    else line(io.stdout, "accepted again, as its source says");
    return exitCodes.done;
  }
  const expireTime =
    values.expires === undefined ? undefined : timestampFromMs(Date.now() + readDuration(values.expires));
  const response = await client.revokeToken({ token, reason: values.reason, ...(expireTime && { expireTime }) });
  if (values.json) printJson(io, RevokeTokenResponseSchema, response);
  else {
    const whose = response.actor ? ` of ${response.actor.source}/${response.actor.id}` : "";
    line(io.stdout, `refused from now on: the token ${response.token?.id}${whose}`);
  }
  return exitCodes.done;
}
