// Anthropic's text completions, which older Sourcegraph instances still call: `POST /v1/complete`.

import { type Answer, type Ask, countTokens, type Piece } from "../answer.js";
import { BadRequestError, type Generation, number, object, sse, string, strings } from "./dialect.js";

/** `POST /v1/complete`. Events carry what was added; none carries usage, as the API never had it. */
export const anthropicComplete: Generation = {
  kind: "generation",
  read(body) {
    const prompt = string(body.prompt);
    if (prompt === undefined) throw new BadRequestError("prompt: Field required");
    if (number(body.max_tokens_to_sample) === undefined)
      throw new BadRequestError("max_tokens_to_sample: Field required");
    return {
      model: string(body.model) ?? "",
      prompt: prompt.replaceAll(/\n\n(Human|Assistant):/g, " "),
      inputTokens: countTokens(prompt),
      stream: body.stream === true,
      maxTokens: number(body.max_tokens_to_sample),
      stops: strings(body.stop_sequences),
      tools: [],
      toolDemanded: false,
      afterTool: false,
      thinking: false,
      schema: undefined,
      code: false,
      images: 0,
      endUser: string(object(body.metadata).user_id),
      includeUsage: false,
      choices: 1,
    };
  },
  whole: (ask, answer) => completion(ask, answer, answer.pieces.map(textOf).join(""), stopReason(answer)),
  frames: (ask, answer) => ({
    begin: () => "",
    piece: (piece) => sse(completion(ask, answer, textOf(piece), null), "completion"),
    finish: () => sse(completion(ask, answer, "", stopReason(answer)), "completion"),
    error: (message) => sse({ type: "error", error: { type: "overloaded_error", message } }, "error"),
  }),
};

function completion(ask: Ask, answer: Answer, text: string, reason: string | null): object {
  return {
    type: "completion",
    id: `compl_demo${answer.number}`,
    completion: text,
    stop_reason: reason,
    model: ask.model,
    stop: answer.stoppedAt ?? null,
  };
}

function stopReason({ finish }: Answer): string {
  return finish === "length" ? "max_tokens" : "stop_sequence";
}

function textOf(piece: Piece): string {
  return piece.kind === "tool" ? "" : piece.text;
}
