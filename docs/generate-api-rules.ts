// The rules of buf.validate in words. A rule that has none here is an error: the reference must not leave one out.

import {
  type DescField,
  type DescMessage,
  type DescOneof,
  getOption,
  hasOption,
  type Message,
} from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import {
  FieldRulesSchema,
  field as fieldRules,
  message as messageRules,
  oneof as oneofRules,
} from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";

/** What must hold for a field, each rule a few words. */
export function rulesOfField(field: DescField): string[] {
  if (!hasOption(field, fieldRules)) return [];
  const rules = rulesIn(field, FieldRulesSchema, getOption(field, fieldRules));
  const isUpper = (rule: string): boolean => rule.includes("at most");
  return [...rules.filter((rule) => !isUpper(rule)), ...rules.filter(isUpper)];
}

/** What must hold between the fields of a message. */
export function rulesOfMessage(message: DescMessage): string[] {
  return hasOption(message, messageRules) ? getOption(message, messageRules).cel.map((rule) => rule.message) : [];
}

/** Whether one of the fields must be set. */
export function isRequired(oneof: DescOneof): boolean {
  return hasOption(oneof, oneofRules) && getOption(oneof, oneofRules).required;
}

function rulesIn(field: DescField, schema: DescMessage, rules: Message): string[] {
  const set = reflect(schema, rules, false);
  return set.fields.flatMap((rule) => {
    if (!set.isSet(rule)) return [];
    const value: unknown = set.get(rule);
    // `string`, `repeated`, `repeated.items`: the rules of that type stand inside.
    if (rule.fieldKind === "message" && !wellKnown.has(rule.message.typeName)) {
      const inner = rulesIn(field, rule.message, (value as { message: Message }).message);
      return rule.name === "items" ? inner.map((words) => `each entry ${words}`) : inner;
    }
    return inWords(field, schema, rule.name, value);
  });
}

const wellKnown = new Set(["google.protobuf.Duration", "google.protobuf.Timestamp"]);

/** How a value is counted, by the kind of rules that it is in. */
const units = new Map([
  ["buf.validate.StringRules", "characters"],
  ["buf.validate.BytesRules", "bytes"],
  ["buf.validate.RepeatedRules", "entries"],
]);

function inWords(field: DescField, { typeName }: DescMessage, rule: string, value: unknown): string[] {
  const unit = units.get(typeName) ?? "";
  switch (rule) {
    case "required":
      return ["required"];
    case "ignore":
      return ["not checked when empty"];
    case "cel":
      return [...(value as Iterable<{ message: { message: string } }>)].map(({ message }) => message.message);
    case "const":
      return [`must be ${String(value)}`];
    case "defined_only":
      return ["a value named here"];
    case "not_in":
      return [`not ${[...(value as Iterable<unknown>)].map((each) => nameOf(field, each)).join(", ")}`];
    case "unique":
      return ["no entry twice"];
    case "uri":
      return ["a URI"];
    case "pattern":
      return [`matches \`${String(value)}\``];
    case "gt_now":
      return ["in the future"];
    case "gt":
      return [`more than ${amount(value)}`];
    case "gte":
      return [`at least ${amount(value)}`];
    case "lte":
      return [`at most ${amount(value)}`];
    case "min_len":
    case "min_items":
      return value === 1n ? ["not empty"] : [`at least ${amount(value)} ${unit}`];
    case "max_len":
    case "max_items":
      return [`at most ${amount(value)} ${unit}`];
    case "max_bytes":
      return [`at most ${amount(value)} bytes`];
    default:
      throw new Error(`no words for the rule ${typeName}.${rule}`);
  }
}

function nameOf(field: DescField, value: unknown): string {
  const values = "enum" in field ? field.enum?.values : undefined;
  return `\`${values?.find(({ number }) => number === value)?.name ?? String(value)}\``;
}

/** A number, or the seconds of a duration. */
function amount(value: unknown): string {
  if (typeof value !== "object" || value === null) return String(value);
  return `${String((value as { message: { seconds: bigint } }).message.seconds)} s`;
}
