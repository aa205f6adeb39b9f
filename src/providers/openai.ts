import { responses } from "./openai-responses.js";
import { speaker } from "./openai-speaker.js";
import type { Provider } from "./provider.js";

const body = { asksForUsage: true, namesEndUser: true };

/** OpenAI, https://platform.openai.com/docs/api-reference. */
export const openai: Provider = speaker({
  kind: "openai",
  defaultBaseUrl: "https://api.openai.com/v1",
  retryAfterSeconds: 30,
  dialect: "openai",
  body,
  apis: [responses],
});

/** Servers that speak like OpenAI's: vLLM, Ollama, llama.cpp, TGI, LiteLLM and many more. */
export const openaiCompatible: Provider = speaker({
  kind: "openai-compatible",
  defaultBaseUrl: undefined,
  retryAfterSeconds: 3,
  dialect: "compatible",
  body,
});
