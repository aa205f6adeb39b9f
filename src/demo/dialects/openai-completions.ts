// Completions of a prompt, as OpenAI and Fireworks serve them: `POST …/completions`.

import { type Answer, type Ask, countTokensOf, type Piece } from "../answer.js";
import { BadRequestError, type Generation, number, object, sse, string, strings } from "./dialect.js";
import { chatUsage, choicesOf, finishReason } from "./openai-chat.js";

/** `POST …/completions`. */
export function openaiCompletions({ alwaysUsage }: { readonly alwaysUsage: boolean }): Generation {
  return {
    kind: "generation",
    read(body) {
      const prompt = strings(body.prompt).join("\n");
      if (body.prompt === undefined) throw new BadRequestError("Missing required parameter: 'prompt'.");
      return {
        model: string(body.model) ?? "",
        prompt,
        inputTokens: countTokensOf(body.prompt, body.suffix),
        stream: body.stream === true,
        maxTokens: number(body.max_tokens) ?? 256,
        stops: strings(body.stop),
        tools: [],
        toolDemanded: false,
        afterTool: false,
        thinking: false,
        schema: undefined,
        code: true,
        images: 0,
        endUser: string(body.user),
        includeUsage: alwaysUsage || object(body.stream_options).include_usage === true,
        choices: number(body.n) ?? 1,
      };
    },
    whole: (ask, answer) => ({
      ...envelope(ask, answer),
      choices: choices(ask, answer.pieces.map(textOf).join(""), finishReason(answer)),
      ...(answer.usage && { usage: chatUsage(answer.usage) }),
    }),
    frames: (ask, answer) => ({
      begin: () => "",
      piece: (piece) => sse({ ...envelope(ask, answer), choices: choices(ask, textOf(piece), null) }),
      finish() {
        const usage = answer.usage && ask.includeUsage ? { usage: chatUsage(answer.usage) } : undefined;
        const last = { ...envelope(ask, answer), choices: choices(ask, "", finishReason(answer)) };
        const asked = usage && !alwaysUsage ? sse({ ...envelope(ask, answer), choices: [], ...usage }) : "";
        return sse({ ...last, ...(alwaysUsage && usage) }) + asked + sse("[DONE]");
      },
      error: (message) => sse({ error: { message, type: "server_error", param: null, code: null } }),
    }),
  };
}

function envelope(ask: Ask, answer: Answer): object {
  return { id: `cmpl-demo${answer.number}`, object: "text_completion", created: 1_700_000_000, model: ask.model };
}

function choices(ask: Ask, text: string, reason: string | null): object[] {
  return choicesOf(ask, (index) => ({ text, index, logprobs: null, finish_reason: reason }));
}

function textOf(piece: Piece): string {
  return piece.kind === "tool" ? "" : piece.text;
}
