// Typed encode and decode are each other's reverse: an answer that is sent back as a turn is, in the provider's own words,
// what it was; whatever was in it.

import { create, type MessageInitShape } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CompleteRequestSchema, type PartSchema, Role } from "../../gen/codygateway/v1/completions_pb.js";
import { anthropic } from "../../src/providers/anthropic.js";
import { fireworks } from "../../src/providers/fireworks.js";
import { google } from "../../src/providers/google.js";
import { openai, openaiCompatible } from "../../src/providers/openai.js";
import type { Provider } from "../../src/providers/provider.js";
import type { TypedAnswer, TypedEvent } from "../../src/providers/typed.js";
import { anyCharacter } from "../helpers/any-character.js";
import { assemble, plainAnswer } from "./assemble.js";
import { apiOf } from "./requests.js";

type Kind = NonNullable<MessageInitShape<typeof PartSchema>["kind"]>;
type Native = Record<string, unknown>;

/** How an encoded assistant turn becomes an answer of the same provider. */
interface Trip {
  readonly name: string;
  readonly provider: Provider;
  readonly api: string;
  readonly thinking: "none" | "plain" | "signed" | "sealed";
  readonly toolSignatures: boolean;
  /** Whole, as its API answers. */
  answer(body: Native): unknown;
  /** As the payloads of its stream. */
  events(body: Native): object[];
}

const last = (list: unknown): Native => (list as Native[]).at(-1) as Native;
const chatMessage = (body: Native): Native => last(body.messages);

const chatEvents = (body: Native): object[] => {
  const { reasoning_content: thought, content, tool_calls: calls = [] } = chatMessage(body);
  const texts = (typeof content === "string" ? [{ text: content }] : ((content ?? []) as Native[])).map(
    ({ text }) => text,
  );
  const deltas: Native[] = [
    ...(thought === undefined ? [] : [{ reasoning_content: thought }]),
    ...texts.map((text) => ({ content: text })),
    ...(calls as Native[]).map((call, index) => ({ tool_calls: [{ index, ...call }] })),
  ];
  return [
    ...deltas.map((delta) => ({ id: "x", choices: [{ delta }] })),
    { id: "x", choices: [{ delta: {}, finish_reason: "stop" }] },
  ];
};

const chats = (name: string, provider: Provider, thinking: Trip["thinking"]): Trip => ({
  name,
  provider,
  api: "chat_completions",
  thinking,
  toolSignatures: false,
  answer: (body) => ({ id: "x", choices: [{ message: chatMessage(body), finish_reason: "stop" }] }),
  events: chatEvents,
});

const trips: readonly Trip[] = [
  {
    name: "anthropic",
    provider: anthropic,
    api: "messages",
    thinking: "sealed",
    toolSignatures: false,
    answer: (body) => ({ type: "message", id: "x", content: last(body.messages).content, stop_reason: "end_turn" }),
    events: (body) => [
      { type: "message_start", message: { id: "x" } },
      ...(last(body.messages).content as Native[]).flatMap((block, index) => [
        { type: "content_block_start", index, content_block: block },
        { type: "content_block_stop", index },
      ]),
      { type: "message_delta", delta: { stop_reason: "end_turn" } },
      { type: "message_stop" },
    ],
  },
  {
    name: "google",
    provider: google,
    api: "generate_content",
    thinking: "signed",
    toolSignatures: true,
    answer: (body) => ({ responseId: "x", candidates: [{ content: last(body.contents), finishReason: "STOP" }] }),
    events: (body) => [
      ...(last(body.contents).parts as Native[]).map((part) => ({
        responseId: "x",
        candidates: [{ content: { parts: [part] } }],
      })),
      { responseId: "x", candidates: [{ finishReason: "STOP" }] },
    ],
  },
  chats("openai", openai, "none"),
  chats("fireworks", fireworks, "plain"),
  chats("openai-compatible", openaiCompatible, "plain"),
];

const text = fc.oneof(
  fc.string({ minLength: 1, maxLength: 20, unit: anyCharacter }),
  fc.constantFrom("data: [DONE]\n\n", '{"usage":{}}', "\u2028", "naïve 世界 🙂"),
);
const json = fc.jsonValue({ maxDepth: 3 }).map((value) => JSON.parse(JSON.stringify(value)) as never);
const input = fc.dictionary(
  fc.string({ maxLength: 5 }).filter((name) => name !== "__proto__"),
  json,
  { maxKeys: 3 },
);
const word = fc.stringMatching(/^[a-z][a-z0-9_]{0,10}$/);

/** One assistant turn that the provider can have said: neighbours of one kind are one part to many. */
function turns({ thinking, toolSignatures }: Trip): fc.Arbitrary<Kind[]> {
  const thought = fc.tuple(text, word).map(
    ([value, signature]): Kind => ({
      case: "thinking",
      value: { text: value, ...(thinking !== "plain" && { signature }) },
    }),
  );
  const sealed = word.map((redactedData): Kind => ({ case: "thinking", value: { redactedData } }));
  const said = text.map((value): Kind => ({ case: "text", value }));
  const use = fc.tuple(word, word, input, word).map(
    ([id, name, given, signature]): Kind => ({
      case: "toolUse",
      value: { id, name, input: given, ...(toolSignatures && { signature }) },
    }),
  );
  return fc
    .tuple(
      thinking === "none" ? fc.constant([]) : fc.array(thought, { maxLength: 1 }),
      thinking === "sealed" ? fc.array(sealed, { maxLength: 2 }) : fc.constant([]),
      fc.array(said, { maxLength: 1 }),
      fc.uniqueArray(use, { maxLength: 4, selector: ({ value }) => (value as { id: string }).id }),
    )
    .map((all) => all.flat())
    .filter((all) => all.length > 0);
}

function encode({ provider, api }: Trip, kinds: readonly Kind[]): Native {
  const turn = (role: Role, ...parts: Kind[]) => ({ role, parts: parts.map((kind) => ({ kind })) });
  const messages = [turn(Role.USER, { case: "text", value: "hi" }), turn(Role.ASSISTANT, ...kinds)];
  const request = create(CompleteRequestSchema, { model: "m", input: { case: "chat", value: { messages } } });
  return JSON.parse(JSON.stringify(apiOf(provider, api).typed?.encode(request, "m", false))) as Native;
}

const partsOf = (answer: TypedAnswer): object[] => plainAnswer(answer).parts;

/** The turn in the short form of the tests. */
const plainTurn = (kinds: readonly Kind[]): object[] =>
  partsOf({ message: { role: Role.ASSISTANT, parts: kinds.map((kind) => ({ kind })) } });

describe.each(trips)("$name", (trip) => {
  const typed = apiOf(trip.provider, trip.api).typed;

  it("decodes whole what it encoded", () => {
    fc.assert(
      fc.property(turns(trip), (kinds) => {
        const answer = typed?.decode(trip.answer(encode(trip, kinds)));
        expect(answer && partsOf(answer)).toEqual(plainTurn(kinds));
      }),
      { numRuns: 100 },
    );
  });

  it("decodes as a stream what it encoded", () => {
    fc.assert(
      fc.property(turns(trip), (kinds) => {
        const decoder = typed?.decoder();
        const events: TypedEvent[] = [];
        for (const event of trip.events(encode(trip, kinds)))
          events.push(...(decoder?.event(JSON.stringify(event)) ?? []));
        events.push(...(decoder?.end() ?? []));
        expect(assemble(events).parts).toEqual(plainTurn(kinds));
      }),
      { numRuns: 100 },
    );
  });
});

describe("openai's responses", () => {
  const typed = apiOf(openai, "responses").typed;
  const signature = "rs_1.gAAAAA-_=";

  it("decode what they encoded: items stand in their order", () => {
    const trip = { ...trips[1], provider: openai, api: "responses", thinking: "none", toolSignatures: false } as Trip;
    const thought = fc.constantFrom<Kind[]>([], [{ case: "thinking", value: { text: "hm", signature } }]);
    fc.assert(
      fc.property(thought, turns(trip), (thoughts, kinds) => {
        const turn = [...thoughts, ...kinds];
        const { input: items } = encode(trip, turn);
        const output = (items as Native[])
          .slice(1)
          .map((item) => (item.type === undefined ? { type: "message", ...item } : item));
        const answer = typed?.decode({ id: "x", status: "completed", output });
        expect(answer && partsOf(answer)).toEqual(plainTurn(turn));
      }),
      { numRuns: 100 },
    );
  });
});
