// Bounds and capabilities of known models, by kind of upstream. Of several entries that match a name, the first holds. A model
// that is not here is served like any other: nothing is said of it.
// https://platform.claude.com/docs/en/about-claude/models, https://platform.openai.com/docs/models,
// https://ai.google.dev/gemini-api/docs/models, https://fireworks.ai/models

import type { ModelFacts } from "./facts.js";

/** What is known of the models with these names. */
interface KnownModels extends ModelFacts {
  /** Native names and patterns. */
  readonly names: readonly string[];
}

const text = {
  chat: true,
  fillInMiddle: false,
  images: false,
  documents: false,
  tools: false,
  reasoning: false,
  jsonSchema: false,
  prediction: false,
};

const tools = { ...text, tools: true };
const seeing = { ...tools, images: true };
const reading = { ...seeing, documents: true };
const thinking = { ...reading, reasoning: true };
const code = { ...text, chat: false };

const anthropic: readonly KnownModels[] = [
  { names: ["claude-2.1"], contextWindowTokens: 200_000, maxOutputTokens: 4_096, capabilities: text, deprecated: true },
  {
    names: ["claude-2", "claude-2.0", "claude-2-100k", "claude-instant-1.2", "claude-instant-v1.2"],
    contextWindowTokens: 100_000,
    maxOutputTokens: 4_096,
    capabilities: text,
    deprecated: true,
  },
  { names: ["claude-v1*", "claude-instant-*"], capabilities: text, deprecated: true },
  {
    names: ["claude-3-5-sonnet-*", "claude-3-5-haiku-*"],
    contextWindowTokens: 200_000,
    maxOutputTokens: 8_192,
    capabilities: reading,
    deprecated: true,
  },
  {
    names: ["claude-3-7-sonnet-*"],
    contextWindowTokens: 200_000,
    maxOutputTokens: 64_000,
    capabilities: thinking,
    deprecated: true,
  },
  {
    names: ["claude-3-haiku-*", "claude-3-sonnet-*", "claude-3-opus-*"],
    contextWindowTokens: 200_000,
    maxOutputTokens: 4_096,
    capabilities: seeing,
    deprecated: true,
  },
  {
    names: ["claude-opus-4-1*"],
    contextWindowTokens: 200_000,
    maxOutputTokens: 32_000,
    capabilities: { ...thinking, jsonSchema: true },
  },
  {
    names: ["claude-opus-4-5*", "claude-sonnet-4-5*", "claude-haiku-4-5*"],
    contextWindowTokens: 200_000,
    maxOutputTokens: 64_000,
    capabilities: { ...thinking, jsonSchema: true },
  },
  {
    names: ["claude-opus-4-0", "claude-opus-4-2*"],
    contextWindowTokens: 200_000,
    maxOutputTokens: 32_000,
    capabilities: thinking,
  },
  {
    names: ["claude-sonnet-4-0", "claude-sonnet-4-2*"],
    contextWindowTokens: 200_000,
    maxOutputTokens: 64_000,
    capabilities: thinking,
  },
];

const openai: readonly KnownModels[] = [
  {
    names: ["gpt-3.5-turbo-instruct*"],
    contextWindowTokens: 4_096,
    maxOutputTokens: 4_096,
    capabilities: code,
    deprecated: true,
  },
  {
    names: ["gpt-3.5-turbo*"],
    contextWindowTokens: 16_385,
    maxOutputTokens: 4_096,
    capabilities: tools,
    deprecated: true,
  },
  { names: ["gpt-4-turbo*"], contextWindowTokens: 128_000, maxOutputTokens: 4_096, capabilities: seeing },
  { names: ["gpt-4", "gpt-4-0613"], contextWindowTokens: 8_192, maxOutputTokens: 8_192, capabilities: tools },
  {
    names: ["gpt-4o", "gpt-4o-2024-08-06", "gpt-4o-2024-11-20", "gpt-4o-mini", "gpt-4o-mini-2024-07-18"],
    contextWindowTokens: 128_000,
    maxOutputTokens: 16_384,
    capabilities: { ...reading, jsonSchema: true, prediction: true },
  },
  {
    names: ["gpt-4.1", "gpt-4.1-2*", "gpt-4.1-mini*", "gpt-4.1-nano*"],
    contextWindowTokens: 1_047_576,
    maxOutputTokens: 32_768,
    capabilities: { ...reading, jsonSchema: true, prediction: true },
  },
  { names: ["gpt-5-chat-*"], contextWindowTokens: 128_000, maxOutputTokens: 16_384 },
  {
    names: [
      "gpt-5",
      "gpt-5-2*",
      "gpt-5-mini*",
      "gpt-5-nano*",
      "gpt-5-codex*",
      "gpt-5.1",
      "gpt-5.1-2*",
      "gpt-5.1-codex*",
    ],
    contextWindowTokens: 400_000,
    maxOutputTokens: 128_000,
    capabilities: { ...thinking, jsonSchema: true },
  },
  {
    names: ["o1", "o1-2*", "o3", "o3-2*", "o4-mini*"],
    contextWindowTokens: 200_000,
    maxOutputTokens: 100_000,
    capabilities: { ...thinking, jsonSchema: true },
  },
  {
    names: ["o3-mini*"],
    contextWindowTokens: 200_000,
    maxOutputTokens: 100_000,
    capabilities: { ...tools, reasoning: true, jsonSchema: true },
  },
];

const google: readonly KnownModels[] = [
  { names: ["gemini-1.0-pro*"], contextWindowTokens: 32_760, capabilities: tools, deprecated: true },
  {
    names: ["gemini-1.5-pro*"],
    contextWindowTokens: 2_097_152,
    maxOutputTokens: 8_192,
    capabilities: { ...reading, jsonSchema: true },
    deprecated: true,
  },
  {
    names: ["gemini-1.5-flash*"],
    contextWindowTokens: 1_048_576,
    maxOutputTokens: 8_192,
    capabilities: { ...reading, jsonSchema: true },
    deprecated: true,
  },
  {
    names: ["gemini-2.0-flash", "gemini-2.0-flash-001", "gemini-2.0-flash-lite*"],
    contextWindowTokens: 1_048_576,
    maxOutputTokens: 8_192,
    capabilities: { ...reading, jsonSchema: true },
  },
  {
    names: ["gemini-2.5-pro", "gemini-2.5-flash", "gemini-2.5-flash-lite", "gemini-3-pro-preview"],
    contextWindowTokens: 1_048_576,
    maxOutputTokens: 65_536,
    capabilities: { ...thinking, jsonSchema: true },
  },
];

const fireworks: readonly KnownModels[] = [
  { names: ["*/starcoder-*"], contextWindowTokens: 8_192, capabilities: code },
  { names: ["*/starcoder2-*"], contextWindowTokens: 16_384, capabilities: code },
  {
    names: [
      "*-base",
      "*-base-hf-version",
      "*/finetuned-fim-*",
      "*-context-fim-*",
      "*/code-qwen-*",
      "*/llama-v2-*-code",
    ],
    capabilities: code,
  },
  { names: ["*/mixtral-8x7b-instruct"], contextWindowTokens: 32_768, capabilities: { chat: true, images: false } },
  { names: ["*/mixtral-8x22b-instruct"], contextWindowTokens: 65_536, capabilities: { chat: true, images: false } },
  { names: ["*/llama-v3p1-*-instruct"], contextWindowTokens: 131_072, capabilities: { chat: true, images: false } },
];

export const knownModels: ReadonlyMap<string, readonly KnownModels[]> = new Map([
  ["anthropic", anthropic],
  ["openai", openai],
  ["google", google],
  ["fireworks", fireworks],
]);
