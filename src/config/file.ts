// The configuration file: YAML or JSON, strict, with the line of everything that is wrong.

import { dirname, resolve } from "node:path";
import { type Document, isCollection, isMap, isNode, isScalar, LineCounter, parseDocument } from "yaml";
import type * as z from "zod";
import { checkNames, checkTokens, type Issue } from "./file-checks.js";
import { type FileContent, fileSchema } from "./file-schema.js";
import { createSecretReader, type Environment, fileExpected, type ReadFile } from "./secrets.js";
import type { Problem } from "./types.js";

export interface FileReading {
  /** Undefined when there are problems. */
  readonly content: FileContent | undefined;
  readonly problems: readonly Problem[];
}

/** Reads and checks the file at `path`. `upstreams` are the names of those that the environment configures. */
export function readConfigFile(
  path: string,
  parts: {
    readonly env: Environment;
    readonly readFile: ReadFile;
    readonly upstreams: readonly string[];
    readonly now: Date;
    /** The kinds that there are; undefined: whichever. */
    readonly kinds: readonly string[] | undefined;
  },
): FileReading {
  const { env, readFile, upstreams, now, kinds } = parts;
  let text: string;
  try {
    text = readFile(path);
  } catch (error) {
    const message = `expected ${fileExpected(path, error)}`;
    return { content: undefined, problems: [{ source: "CODY_GATEWAY_CONFIG", message }] };
  }

  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  if (document.errors.length > 0) {
    const problems = document.errors.map(({ pos, code }) => ({
      source: path,
      line: lines.linePos(pos[0]).line,
      message: `expected YAML or JSON: ${code.toLowerCase().replaceAll("_", " ")}`,
    }));
    return { content: undefined, problems };
  }

  const raw: unknown = toPlain(document);
  const secrets = createSecretReader(env, (name) => readFile(resolve(dirname(path), name)));
  const result = fileSchema(secrets, now, kinds).safeParse(raw);
  const issues = [
    ...(result.error?.issues.flatMap(toIssues) ?? []),
    ...checkNames(raw, upstreams, kinds),
    ...(result.data ? checkTokens(result.data.staticActors) : []),
  ];
  const problems = issues
    .map(({ path: at, message }) => ({
      source: path,
      line: lines.linePos(offsetOf(document, at)).line,
      ...(at.length > 0 && { field: fieldName(at) }),
      message,
    }))
    .toSorted((one, other) => one.line - other.line);
  return { content: problems.length === 0 ? result.data : undefined, problems };
}

/** An empty file is an empty configuration. */
function toPlain(document: Document): unknown {
  return document.toJS() ?? {};
}

function toIssues(issue: z.core.$ZodIssue): Issue[] {
  if (issue.code === "unrecognized_keys") {
    return issue.keys.map((key) => ({ path: [...issue.path, key], message: issue.message }));
  }
  if (issue.code === "invalid_key") return issue.issues.map(({ message }) => ({ path: issue.path, message }));
  const message = issue.message
    .replace(/^(Invalid input|Invalid option|Too (big|small)): /, "")
    .replace(/, received undefined$/, ", but it is missing");
  return [{ path: issue.path, message }];
}

/** Where in the text `path` stands, or as much of it as there is. */
function offsetOf(document: Document, path: Issue["path"]): number {
  let node: unknown = document.contents;
  let offset = 0;
  for (const step of path) {
    if (!isCollection(node)) break;
    const pair = isMap(node) ? node.items.find(({ key }) => isScalar(key) && key.value === step) : undefined;
    const next = pair ? pair.value : node.get(step, true);
    const named = pair ? pair.key : next;
    if (!isNode(named)) break;
    offset = named.range?.[0] ?? offset;
    node = next;
  }
  return offset;
}

/** `providers[0].keys`. */
function fieldName(path: Issue["path"]): string {
  return path
    .map((step, index) => (typeof step === "number" ? `[${step}]` : `${index > 0 ? "." : ""}${String(step)}`))
    .join("");
}
