// The section `models` of the configuration file.

import * as z from "zod";
import { weight } from "./file-fields.js";
import { strict } from "./strict.js";
import type { ModelConfig } from "./types.js";

const gatewayModel = z.string().regex(/^[^\s/]+\/[\x21-\x7e]{1,250}$/, "expected a gateway model name, provider/model");
const languages = z
  .array(z.string().regex(/^[a-z0-9.+#-]{1,64}$/, "expected the id of a language, such as typescript"))
  .min(1, "expected at least one language");

const price = z.number("expected a number of US dollars").min(0);

/** What is to know of one model. */
export const model = strict({
  id: gatewayModel,
  routes: z
    .array(strict({ model: gatewayModel, weight, languages: languages.optional() }))
    .min(1)
    .refine((all) => all.some((route) => !route.languages), "expected a route without languages, for all others")
    .optional(),
  fallbacks: z
    .array(strict({ model: gatewayModel }))
    .max(8, "expected 8 at most")
    .optional(),
  prices: strict({
    inputPerMillion: price,
    outputPerMillion: price,
    cachedInputPerMillion: price.optional(),
    cacheWritePerMillion: price.optional(),
  }).optional(),
}).transform(({ id, routes, fallbacks, prices }, context): ModelConfig => {
  if (!routes && !fallbacks && !prices) {
    context.addIssue({ code: "custom", message: "expected routes, fallbacks or prices" });
  }
  return {
    id,
    routes: (routes ?? []).map((route) => ({ ...route, languages: route.languages })),
    fallbacks: (fallbacks ?? []).map((each) => each.model),
    prices: prices && {
      ...prices,
      cachedInputPerMillion: prices.cachedInputPerMillion,
      cacheWritePerMillion: prices.cacheWritePerMillion,
    },
  };
});
