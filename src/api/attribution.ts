import type { ServiceImpl } from "@connectrpc/connect";
import type { AttributionService } from "../../gen/codygateway/v1/attribution_pb.js";
import { actorOf } from "../auth/interceptor.js";
import { type Attribution, maxRepositories } from "../relay-attribution.js";

/** The search for where code stands in public. */
export function attribution(parts: { readonly attribution: Attribution }): ServiceImpl<typeof AttributionService> {
  return {
    async searchAttribution({ snippet, limit = maxRepositories }, context) {
      const actor = actorOf(context.values);
      const found = await parts.attribution.search(actor, { snippet, limit }, context.signal);
      const { repositories, totalCount, limitHit } = found;
      return { repositories: repositories.map((name) => ({ name })), totalCount, limitHit };
    },
  };
}
