// What may be written to a log: no secrets, nothing longer than a kibibyte, no characters that move a terminal's cursor. Fields
// are cleaned as they become JSON, at one look: a line is written for every request.

const maxBytes = 1024;
const maxEntries = 50;
const maxDepth = 4;

const redacted = '"[redacted]"';

/** Fields whose text is never written. Nobody should pass them: this is the second net. */
const secretField =
  /^(authorization|cookie|x-api-key|x-goog-api-key|(.*[_-])?(token|secret|password|pepper|prompt|messages|body|apikey|api[_-]key))$/i;

/** Secrets that are known by their form, wherever they stand. */
const secretText = new RegExp(
  [
    String.raw`\b(?:slk|sgs|sgd|sgph?|cga|fw)_[\w-]{8,}`,
    String.raw`\bsk-[\w-]{8,}`,
    String.raw`\bAIza[\w-]{16,}`,
    String.raw`\bBearer\s+\S+`,
    String.raw`(?<=[?&](?:key|token|api_key)=)[^&\s]+`,
    String.raw`(?<=:\/\/)[^\s\/@]+(?=@)`,
  ].join("|"),
  "gi",
);

// Controls, invisible formats (bidirectional ones among them), line and paragraph separators, half surrogates. Line ends
// and tabs are left: what writes the line escapes them.
const unprintable = /(?![\n\r\t])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

/** Whether there is anything to look at more closely; most texts have nothing. */
const suspicious = /[^\x20-\x7e]|(?:slk|sgs|sgd|sgph?|cga|fw)_|sk-|aiza|bearer|[?&](?:key|token|api_key)=|:\/\//i;

/** `text` as it may be written. */
export function cleanText(text: string): string {
  if (text.length <= maxBytes && !suspicious.test(text)) return text;
  // Looked at a little past the end of what is kept, so that a secret cut in two is still seen as one.
  const looked = text.length > 2 * maxBytes ? text.slice(0, 2 * maxBytes) : text;
  const safe = looked.replace(secretText, "[redacted]").replace(unprintable, escape);
  return shorten(safe, text.length > looked.length);
}

function escape(character: string): string {
  return `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`;
}

function shorten(text: string, cut: boolean): string {
  if (!cut && Buffer.byteLength(text) <= maxBytes) return text;
  // The end may fall within a character, which then decodes to U+FFFD.
  const kept = Buffer.from(text)
    .subarray(0, maxBytes - 3)
    .toString("utf8")
    .replace(/\ufffd$/, "");
  return `${kept}…`;
}

/** What is not plain: it is looked at more closely, or has to be escaped. */
const notPlain = new RegExp(`["\\\\]|${suspicious.source}`, "i");

/** `text` as it may be written, as JSON. */
export function cleanJson(text: string): string {
  return text.length <= maxBytes && !notPlain.test(text) ? `"${text}"` : JSON.stringify(cleanText(text));
}

/** `fields` as they may be written: the members of a JSON object, without its braces. */
export function cleanMembers(fields: object): string {
  return members(fields, 1);
}

function members(fields: object, depth: number): string {
  const keys = depth === 1 ? topKeys : innerKeys;
  let text = "";
  let entries = 0;
  for (const name of Object.keys(fields)) {
    const value = (fields as Record<string, unknown>)[name];
    if (value === undefined || typeof value === "function" || name === "__proto__") continue;
    if (++entries > maxEntries) break;
    const key = keyOf(keys, name);
    text += text === "" ? key.json : `,${key.json}`;
    if (key.secret && typeof value !== "number" && typeof value !== "boolean") text += redacted;
    else text += typeof value === "string" ? textOf(key, value) : json(value, depth);
  }
  return text;
}

interface Key {
  /** The name as it may be written, as JSON, with its colon. */
  readonly json: string;
  readonly secret: boolean;
  /** The last short text of this name, and as it may be written: most are the same from line to line. */
  lastText: string;
  lastJson: string;
}

/**
 * Names come from the code, so there are few of them; others could come from a caller, and are not kept. Those at the top of a
 * line are apart: a line has members of its own.
 */
const topKeys = new Map<string, Key>();
const innerKeys = new Map<string, Key>();
const ofTheLine = new Set(["level", "time", "msg"]);

function keyOf(keys: Map<string, Key>, name: string): Key {
  let key = keys.get(name);
  if (key === undefined) {
    const safe = name.length <= 64 ? cleanJson(name) : '"[…]"';
    const written = keys === topKeys && ofTheLine.has(name) ? `"${name}_":` : `${safe}:`;
    key = { json: written, secret: secretField.test(name), lastText: "", lastJson: '""' };
    if (keys.size < 500) keys.set(name, key);
  }
  return key;
}

function textOf(key: Key, text: string): string {
  if (text.length > 64) return cleanJson(text);
  if (key.lastText !== text) {
    key.lastJson = cleanJson(text);
    key.lastText = text;
  }
  return key.lastJson;
}

function json(value: unknown, depth: number): string {
  switch (typeof value) {
    case "string":
      return cleanJson(value);
    case "number":
      return Number.isFinite(value) ? String(value) : "null";
    case "boolean":
      return String(value);
    case "bigint":
      return `"${value}"`;
    case "object":
      return value === null ? "null" : objectJson(value, depth);
    default:
      return "null";
  }
}

function objectJson(value: object, depth: number): string {
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? "null" : `"${value.toISOString()}"`;
  if (ArrayBuffer.isView(value)) return `"[${value.byteLength} bytes]"`;
  if (depth >= maxDepth) return '"[…]"';
  if (value instanceof Error) return `{${members(fieldsOf(value), depth + 1)}}`;
  if (Array.isArray(value))
    return `[${value
      .slice(0, maxEntries)
      .map((each) => json(each, depth + 1))
      .join(",")}]`;
  return `{${members(value, depth + 1)}}`;
}

/** Name, message, own fields, the beginning of the stack, and what caused it. */
function fieldsOf(error: Error): object {
  const stack = error.stack?.split("\n    at ").slice(1, 7).join("\n");
  const { name, message, cause } = error;
  return Object.assign({}, error, { name, message, stack, cause });
}
