// What may be written to a log: no secrets, nothing longer than a kibibyte, no characters that move a terminal's cursor.

const maxBytes = 1024;
const maxEntries = 50;
const maxDepth = 4;

const redacted = "[redacted]";

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
  const safe = looked.replace(secretText, redacted).replace(unprintable, escape);
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

/** `fields` as they may be written. */
export function cleanFields(fields: object): Record<string, unknown> {
  return cleanObject(fields, 1);
}

function cleanObject(fields: object, depth: number): Record<string, unknown> {
  const clean: Record<string, unknown> = {};
  let entries = 0;
  for (const name of Object.keys(fields)) {
    const value = (fields as Record<string, unknown>)[name];
    if (value === undefined || typeof value === "function" || name === "__proto__") continue;
    if (++entries > maxEntries) break;
    const hidden = typeof value !== "number" && typeof value !== "boolean" && isSecret(name);
    clean[name.length <= 64 ? cleanText(name) : "[…]"] = hidden ? redacted : cleanValue(value, depth);
  }
  return clean;
}

/** Names come from the code, so there are few of them; others could come from a caller, and are not kept. */
const known = new Map<string, boolean>();

function isSecret(name: string): boolean {
  let secret = known.get(name);
  if (secret === undefined) {
    secret = secretField.test(name);
    if (known.size < 500) known.set(name, secret);
  }
  return secret;
}

function cleanValue(value: unknown, depth: number): unknown {
  if (typeof value === "string") return cleanText(value);
  if (typeof value !== "object" || value === null) return typeof value === "bigint" ? String(value) : value;
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  if (depth >= maxDepth) return "[…]";
  if (value instanceof Error) return cleanError(value, depth);
  if (Array.isArray(value)) return value.slice(0, maxEntries).map((each) => cleanValue(each, depth + 1));
  return cleanObject(value, depth + 1);
}

/** Name, message, own fields, the beginning of the stack, and what caused it. */
function cleanError(error: Error, depth: number): Record<string, unknown> {
  const stack = error.stack?.split("\n    at ").slice(1, 7).join("\n");
  const { name, message, cause } = error;
  return cleanObject(Object.assign({}, error, { name, message, stack, cause }), depth + 1);
}
