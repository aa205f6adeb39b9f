// Where actors come from, in the order in which they are asked.

import type { Source } from "./actors/source.js";
import { createAnonymousSource } from "./actors/sources/anonymous.js";
import { createStaticSource, type StaticSource } from "./actors/sources/static.js";
import type { TokenHasher } from "./actors/token.js";
import type { Config } from "./config.js";
import { type BackEndParts, backEndSources } from "./gateway-back-ends.js";

export interface ConfiguredSources {
  readonly all: readonly Source[];
  readonly fixed: StaticSource;
}

/** The configuration file knows its tokens, so it is asked first; of the others, each knows its tokens by their form. */
export function configuredSources(
  config: Config,
  parts: BackEndParts & { readonly hasher: TokenHasher },
): ConfiguredSources {
  const fixed = createStaticSource(parts, config.staticActors);
  const anonymous = config.allowAnonymous ? [createAnonymousSource(parts, { burst: config.burst })] : [];
  return { fixed, all: [fixed, ...anonymous, ...backEndSources(config, parts)] };
}
