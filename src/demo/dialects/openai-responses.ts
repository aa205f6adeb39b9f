// OpenAI's Responses API: https://platform.openai.com/docs/api-reference/responses

import { type Answer, type Ask, countTokensOf, type Piece } from "../answer.js";
import {
  BadRequestError,
  countParts,
  type Frames,
  type Generation,
  list,
  number,
  object,
  sse,
  string,
  textOf,
} from "./dialect.js";

/** `POST /v1/responses`. */
export const openaiResponses: Generation = {
  kind: "generation",
  read(body) {
    if (body.input === undefined) throw new BadRequestError("Missing required parameter: 'input'.");
    const items = typeof body.input === "string" ? [{ role: "user", content: body.input }] : list(body.input);
    const last = object(items.at(-1));
    const format = object(object(body.text).format);
    return {
      model: string(body.model) ?? "",
      prompt: string(last.output) ?? textOf(last.content),
      inputTokens: countTokensOf(body.instructions, items, body.tools),
      stream: body.stream === true,
      maxTokens: number(body.max_output_tokens),
      stops: [],
      tools: list(body.tools)
        .map(object)
        .filter((tool) => tool.type === "function")
        .map((tool) => ({ name: string(tool.name) ?? "", schema: tool.parameters })),
      toolDemanded: string(object(body.tool_choice).name) ?? body.tool_choice === "required",
      afterTool: last.type === "function_call_output",
      thinking: string(object(body.reasoning).summary) !== undefined,
      schema: format.type === "json_schema" ? format.schema : undefined,
      code: false,
      images: countParts(items, "input_image", "input_file"),
      endUser: string(body.user) ?? string(body.safety_identifier),
      includeUsage: true,
      choices: 1,
    };
  },
  whole: (ask, answer) => response(ask, answer, itemsOf(answer)),
  frames: responseFrames,
};

function response(ask: Ask, answer: Answer, output: readonly object[] | undefined): object {
  const cut = answer.finish === "length";
  const status = output === undefined ? "in_progress" : cut ? "incomplete" : "completed";
  const usage = answer.usage && {
    input_tokens: answer.usage.inputTokens,
    input_tokens_details: { cached_tokens: answer.usage.cachedInputTokens },
    output_tokens: answer.usage.outputTokens,
    output_tokens_details: { reasoning_tokens: answer.usage.reasoningTokens },
    total_tokens: answer.usage.inputTokens + answer.usage.outputTokens,
  };
  return {
    id: `resp_demo${answer.number}`,
    object: "response",
    created_at: 1_700_000_000,
    status,
    error: null,
    incomplete_details: output !== undefined && cut ? { reason: "max_output_tokens" } : null,
    instructions: null,
    model: ask.model,
    output: output ?? [],
    parallel_tool_calls: true,
    tool_choice: "auto",
    tools: [],
    usage: output === undefined ? null : (usage ?? null),
  };
}

function joined(pieces: readonly Piece[], kind: Piece["kind"]): string {
  return pieces
    .filter((piece) => piece.kind === kind)
    .map((piece) => (piece.kind === "tool" ? piece.json : piece.text))
    .join("");
}

/** The output items; `text` is what has been said so far. */
function itemsOf(answer: Answer): object[] {
  const kinds = [...new Set(answer.pieces.map((piece) => piece.kind))];
  return kinds.map((kind) => {
    const first = answer.pieces.find((piece) => piece.kind === kind) as Piece;
    return item(answer, first, joined(answer.pieces, kind), "completed");
  });
}

function item(answer: Answer, first: Piece, text: string, status: "in_progress" | "completed"): object {
  const id = itemId(answer, first.kind);
  if (first.kind === "tool")
    return { type: "function_call", id, call_id: `call_${first.id}`, name: first.name, arguments: text, status };
  if (first.kind === "thinking")
    return { type: "reasoning", id, summary: text === "" ? [] : [{ type: "summary_text", text }] };
  const content =
    text === "" && status === "in_progress" ? [] : [{ type: "output_text", text, annotations: [], logprobs: [] }];
  return { type: "message", id, role: "assistant", status, content };
}

function itemId(answer: Answer, kind: Piece["kind"]): string {
  return `${{ text: "msg", thinking: "rs", tool: "fc" }[kind]}_demo${answer.number}`;
}

function responseFrames(ask: Ask, answer: Answer): Frames {
  let sequence = 0;
  let open: { first: Piece; text: string } | undefined;
  let index = -1;
  const done: object[] = [];
  const event = (type: string, data: object): string => sse({ type, sequence_number: sequence++, ...data }, type);
  const place = (): object => ({ item_id: itemId(answer, open?.first.kind ?? "text"), output_index: index });

  const close = (): string => {
    if (!open) return "";
    const { first, text } = open;
    const whole = item(answer, first, text, "completed");
    done.push(whole);
    const ended =
      first.kind === "tool"
        ? event("response.function_call_arguments.done", { ...place(), name: first.name, arguments: text })
        : first.kind === "thinking"
          ? event("response.reasoning_summary_text.done", { ...place(), summary_index: 0, text }) +
            event("response.reasoning_summary_part.done", { ...place(), summary_index: 0, part: summaryText(text) })
          : event("response.output_text.done", { ...place(), content_index: 0, text, logprobs: [] }) +
            event("response.content_part.done", { ...place(), content_index: 0, part: outputText(text) });
    open = undefined;
    return ended + event("response.output_item.done", { output_index: index, item: whole });
  };

  const start = (piece: Piece): string => {
    if (open?.first.kind === piece.kind) return "";
    const before = close();
    open = { first: piece, text: "" };
    index++;
    const added = event("response.output_item.added", {
      output_index: index,
      item: item(answer, piece, "", "in_progress"),
    });
    if (piece.kind === "tool") return before + added;
    if (piece.kind === "thinking") {
      const begun = { ...place(), summary_index: 0, part: summaryText("") };
      return before + added + event("response.reasoning_summary_part.added", begun);
    }
    return (
      before + added + event("response.content_part.added", { ...place(), content_index: 0, part: outputText("") })
    );
  };

  const delta = (piece: Piece): string => {
    const text = piece.kind === "tool" ? piece.json : piece.text;
    if (open) open.text += text;
    if (piece.kind === "tool") return event("response.function_call_arguments.delta", { ...place(), delta: text });
    if (piece.kind === "thinking")
      return event("response.reasoning_summary_text.delta", { ...place(), summary_index: 0, delta: text });
    return event("response.output_text.delta", { ...place(), content_index: 0, delta: text, logprobs: [] });
  };

  return {
    begin: () =>
      event("response.created", { response: response(ask, answer, undefined) }) +
      event("response.in_progress", { response: response(ask, answer, undefined) }),
    piece: (piece) => start(piece) + delta(piece),
    finish() {
      const closed = close();
      const type = answer.finish === "length" ? "response.incomplete" : "response.completed";
      return closed + event(type, { response: response(ask, answer, done) });
    },
    error: (message) => event("error", { code: "server_error", message, param: null }),
  };
}

function summaryText(text: string): object {
  return { type: "summary_text", text };
}

function outputText(text: string): object {
  return { type: "output_text", text, annotations: [], logprobs: [] };
}
