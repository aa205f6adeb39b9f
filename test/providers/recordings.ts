import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { providers } from "../../src/providers/index.js";
import type { Api, Provider } from "../../src/providers/provider.js";

/** One recorded stream, of an API that can have sent it. */
export interface RecordedStream {
  /** `openai/responses/text.sse` */
  readonly name: string;
  readonly provider: Provider;
  readonly api: Api;
  readonly bytes: Buffer;
}

/** All recorded streams. Those of a folder without an API's name are for the provider's main API. */
export function recordedStreams(): readonly RecordedStream[] {
  return providers.flatMap((provider) => {
    const apis = provider.apis.map((api) => ({ api, dir: `${provider.kind}/${api.name}` }));
    const main = provider.apis[0];
    return [...(main ? [{ api: main, dir: provider.kind }] : []), ...apis].flatMap(({ api, dir }) => {
      const path = fileURLToPath(new URL(`../testdata/${dir}/`, import.meta.url));
      const files = existsSync(path) ? readdirSync(path).filter((file) => file.endsWith(".sse")) : [];
      return files.map((file) => ({ name: `${dir}/${file}`, provider, api, bytes: readFileSync(path + file) }));
    });
  });
}
