import { isObject } from "./answers.js";
import { createGenerateDecoder, decodeCount, decodeGenerate } from "./google-decode.js";
import { batchEmbedContents, embedContent } from "./google-embeddings.js";
import { encodeCount, encodeGenerate } from "./google-encode.js";
import { googleErrorBody, googleStreamError, readGoogleError } from "./google-errors.js";
import { promptOfGenerate, readCount, readGenerate, rewriteCount, rewriteGenerate } from "./google-generate.js";
import { createGenerateMeter } from "./google-usage.js";
import { createFreeMeter } from "./meters.js";
import { outputOf } from "./output.js";
import type { Api, ApiPath, ModelList, Provider } from "./provider.js";

/** The vendor's SDKs call the first version by now, those before them the beta. */
const versions = ["/v1beta", "/v1"] as const;

/** One method of the models, in every version. */
function method(name: string, rest: Omit<ApiPath, "path">): [ApiPath, ...ApiPath[]] {
  const [beta, ...others] = versions.map((version) => ({ path: `${version}/models/{model}:${name}`, ...rest }));
  return [beta as ApiPath, ...others];
}

const whole = method("generateContent", { stream: false });
const events = method("streamGenerateContent", { query: "alt=sse", stream: true });

const common = {
  passHeaders: [],
  headers: {},
  prompt: promptOfGenerate,
} satisfies Partial<Api>;

const output = outputOf({ streamed: ["text"], whole: ["text"], objects: ["args"] });

const generateContent: Api = {
  ...common,
  name: "generate_content",
  paths: [...whole, ...events],
  read: readGenerate,
  rewrite: rewriteGenerate,
  meter: createGenerateMeter,
  output,
  typed: { encode: encodeGenerate, decode: decodeGenerate, decoder: createGenerateDecoder },
};

/** The same stream as one JSON array, for callers who do not ask for server-sent events: it is passed on when it is whole. */
const generateArray: Api = {
  ...common,
  name: "generate_content_array",
  paths: method("streamGenerateContent", { stream: false }),
  read: readGenerate,
  rewrite: rewriteGenerate,
  meter: createGenerateMeter,
  output,
};

const countTokens: Api = {
  ...common,
  name: "count_tokens",
  free: true,
  paths: method("countTokens", { stream: false }),
  read: readCount,
  rewrite: rewriteCount,
  meter: createFreeMeter,
  count: { encode: encodeCount, decode: decodeCount },
};

const modelList: ModelList = {
  path: "/v1beta/models?pageSize=1000",
  alsoAt: ["/v1/models"],
  headers: {},
  read(body) {
    const models = isObject(body) ? body.models : undefined;
    if (!Array.isArray(models)) throw new Error("not a model list");
    return models.filter(generates).map(({ name }) => name.replace(/^models\//, ""));
  },
  write: (models) => ({
    models: models.map((name) => ({
      name: `models/${name}`,
      displayName: name,
      supportedGenerationMethods: name.includes("embedding")
        ? ["embedContent", "batchEmbedContents"]
        : ["generateContent", "countTokens"],
    })),
  }),
};

/** Models for embeddings and others are in the same list. */
function generates(entry: unknown): entry is { name: string } {
  if (!isObject(entry) || typeof entry.name !== "string") throw new Error("not a model list");
  const { supportedGenerationMethods: methods } = entry;
  return !Array.isArray(methods) || methods.includes("generateContent");
}

/** Google's Gemini API, https://ai.google.dev/api/generate-content. */
export const google: Provider = {
  kind: "google",
  defaultBaseUrl: "https://generativelanguage.googleapis.com",
  sdkPrefix: "",
  retryAfterSeconds: 3,
  apis: [
    generateContent,
    generateArray,
    countTokens,
    embedContent(method("embedContent", { stream: false })),
    batchEmbedContents(method("batchEmbedContents", { stream: false })),
  ],
  keyParameter: "key",
  // Never in the URL, where logs and errors would show it.
  authHeaders: (key) => (key === undefined ? {} : { "x-goog-api-key": key }),
  errorBody: googleErrorBody,
  streamError: googleStreamError,
  readError: readGoogleError,
  modelList,
};
