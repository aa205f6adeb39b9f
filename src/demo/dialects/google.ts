// Google's Gemini API: https://ai.google.dev/api/generate-content

import { type Answer, type Ask, countImages, countTokensOf, type Piece } from "../answer.js";
import {
  BadRequestError,
  type Generation,
  type Json,
  type Lookup,
  list,
  number,
  object,
  sse,
  string,
  strings,
  textOf,
  type Vendor,
} from "./dialect.js";

const statuses: Readonly<Record<number, { status: string; message: string }>> = {
  400: { status: "INVALID_ARGUMENT", message: "Request contains an invalid argument." },
  401: { status: "UNAUTHENTICATED", message: "API key not valid. Please pass a valid API key." },
  403: { status: "PERMISSION_DENIED", message: "The caller does not have permission" },
  404: { status: "NOT_FOUND", message: "Requested entity was not found." },
  429: { status: "RESOURCE_EXHAUSTED", message: "Resource has been exhausted (e.g. check quota)." },
  503: { status: "UNAVAILABLE", message: "The model is overloaded. Please try again later." },
};

const models = [
  "gemini-2.5-pro",
  "gemini-2.5-flash",
  "gemini-1.5-flash-latest",
  "gemini-embedding-001",
  "text-embedding-004",
];

/** Google as a vendor. */
export const google: Vendor = {
  name: "google",
  requestIdHeader: "x-request-id",
  models,
  knows: (model) => /^(gemini|gemma|text-embedding|embedding)-/.test(model),
  key: (headers, url) =>
    string(headers["x-goog-api-key"]) ??
    url.searchParams.get("key") ??
    string(headers.authorization)?.replace(/^Bearer /i, ""),
  error(code, message) {
    const usual = statuses[code] ?? { status: "INTERNAL", message: "An internal error has occurred." };
    return { error: { code, message: message ?? usual.message, status: usual.status } };
  },
};

/** `:generateContent` and `:streamGenerateContent`. */
export const googleGenerate: Generation = {
  kind: "generation",
  read(body, model, stream) {
    const contents = readContents(body);
    const config = object(body.generationConfig);
    const functions = object(object(body.toolConfig).functionCallingConfig);
    const last = list(object(contents.at(-1)).parts).map(object);
    return {
      model: model ?? "",
      prompt: textOf(last),
      inputTokens: countTokensOf(body.systemInstruction, contents, body.tools),
      stream,
      maxTokens: number(config.maxOutputTokens),
      stops: strings(config.stopSequences),
      tools: list(body.tools)
        .flatMap((tool) => list(object(tool).functionDeclarations).map(object))
        .map((tool) => ({ name: string(tool.name) ?? "", schema: tool.parameters ?? tool.parametersJsonSchema })),
      toolDemanded: functions.mode === "ANY" ? (strings(functions.allowedFunctionNames)[0] ?? true) : false,
      afterTool: last.some((part) => part.functionResponse !== undefined),
      thinking: object(config.thinkingConfig).includeThoughts === true,
      schema: config.responseSchema ?? config.responseJsonSchema,
      code: false,
      images: images(contents),
      endUser: undefined,
      includeUsage: true,
      choices: 1,
    };
  },
  whole: (ask, answer) => chunk(ask, answer, merged(answer.pieces), answer.pieces.length, true),
  frames(ask, answer) {
    let sent = 0;
    // Arguments come whole in this API: they wait for the last of their pieces.
    const tool: Piece[] = [];
    return {
      begin: () => "",
      piece(piece) {
        sent++;
        if (piece.kind !== "tool") return sse(chunk(ask, answer, [piece], sent, false));
        tool.push(piece);
        return "";
      },
      finish: () => sse(chunk(ask, answer, merged(tool), answer.pieces.length, true)),
      error: (message) => sse({ error: { code: 503, message, status: "UNAVAILABLE" } }),
    };
  },
};

/** `:countTokens`. */
export const googleCountTokens: Lookup = {
  kind: "lookup",
  reply(body, model) {
    const request = body.generateContentRequest === undefined ? body : object(body.generateContentRequest);
    const contents = readContents(request);
    const tokens = countTokensOf(request.systemInstruction, contents, request.tools) + countImages(images(contents));
    return {
      body: { totalTokens: tokens, promptTokensDetails: [{ modality: "TEXT", tokenCount: tokens }] },
      prompt: textOf(object(contents.at(-1)).parts),
      ...(model !== undefined && { model }),
    };
  },
};

/** `GET …/models`. */
export const googleModels: Lookup = {
  kind: "lookup",
  reply: () => ({
    body: {
      models: models.map((name) => ({
        name: `models/${name}`,
        version: "001",
        displayName: name,
        inputTokenLimit: 1_048_576,
        outputTokenLimit: 65_536,
        supportedGenerationMethods: name.includes("embedding") ? ["embedContent"] : ["generateContent", "countTokens"],
      })),
    },
  }),
};

function readContents(body: Json): readonly unknown[] {
  if (typeof body.contents === "string") return [{ parts: [{ text: body.contents }] }];
  if (list(body.contents).length === 0)
    throw new BadRequestError("* GenerateContentRequest.contents: contents is not specified");
  // Members this API does not know are refused by it, not ignored.
  if ("stream" in body)
    throw new BadRequestError('Invalid JSON payload received. Unknown name "stream": Cannot find field.');
  return list(body.contents);
}

function images(contents: readonly unknown[]): number {
  return contents
    .flatMap((content) => list(object(content).parts).map(object))
    .filter((part) => part.inlineData !== undefined || part.inline_data !== undefined || part.fileData !== undefined)
    .length;
}

function merged(pieces: readonly Piece[]): Piece[] {
  const kinds = [...new Set(pieces.map((piece) => piece.kind))];
  return kinds.map((kind) => {
    const same = pieces.filter((piece) => piece.kind === kind);
    const [first] = same as [Piece];
    const text = same.map((piece) => (piece.kind === "tool" ? piece.json : piece.text)).join("");
    return first.kind === "tool" ? { ...first, json: text } : { kind: first.kind, text };
  });
}

function partOf(piece: Piece): object {
  if (piece.kind === "tool") return { functionCall: { name: piece.name, args: JSON.parse(piece.json) as unknown } };
  return piece.kind === "thinking" ? { text: piece.text, thought: true } : { text: piece.text };
}

function chunk(ask: Ask, answer: Answer, pieces: readonly Piece[], sent: number, last: boolean): object {
  const { usage } = answer;
  const share = answer.pieces.length === 0 ? 1 : sent / answer.pieces.length;
  const output = usage && (last ? usage.outputTokens : Math.ceil(usage.outputTokens * share));
  return {
    candidates: [
      {
        content: { parts: pieces.length === 0 ? [{ text: "" }] : pieces.map(partOf), role: "model" },
        ...(last && { finishReason: answer.finish === "length" ? "MAX_TOKENS" : "STOP" }),
        index: 0,
      },
    ],
    ...(usage &&
      output !== undefined && {
        usageMetadata: {
          promptTokenCount: usage.inputTokens,
          // What was thought is counted beside the candidates here.
          candidatesTokenCount: Math.max(0, output - usage.reasoningTokens),
          totalTokenCount: usage.inputTokens + output,
          ...(usage.cachedInputTokens > 0 && { cachedContentTokenCount: usage.cachedInputTokens }),
          ...(usage.reasoningTokens > 0 && { thoughtsTokenCount: usage.reasoningTokens }),
        },
      }),
    modelVersion: ask.model,
    responseId: `demo${answer.number}`,
  };
}
