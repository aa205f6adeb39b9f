// Writes docs/api.md, the reference of codygateway.v1, from the comments and rules of its proto files.
//
//   npm run docs:api

import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import {
  createFileRegistry,
  type DescEnum,
  type DescExtension,
  type DescField,
  type DescFile,
  type DescMessage,
  type DescMethod,
  type DescOneof,
  type DescService,
  fromBinary,
  getOption,
  hasOption,
  ScalarType,
} from "@bufbuild/protobuf";
import {
  FileDescriptorSetSchema,
  MethodOptions_IdempotencyLevel as Idempotency,
  FieldDescriptorProto_Label as Label,
} from "@bufbuild/protobuf/wkt";
import { AdminRoleSchema, admin_role } from "../gen/codygateway/v1/actor_admin_pb.js";
import { type Comments, commentsOf } from "./generate-api-comments.js";
import { isRequired, rulesOfField, rulesOfMessage } from "./generate-api-rules.js";

const root = resolve(import.meta.dirname, "..");
const home = "codygateway/v1/";

/** The files of codygateway.v1 in the order of the reference: what is shared comes last. */
const order = ["completions", "limits", "embeddings", "attribution", "actor_admin", "common"];

/** The reference, made from the proto files as they are. */
export function apiReference(): string {
  const image = execFileSync(resolve(root, "node_modules/.bin/buf"), ["build", "proto", "-o", "-#format=binpb"], {
    cwd: root,
    maxBuffer: 64 * 1024 * 1024,
  });
  const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, image));
  const files = order.map((name) => registry.getFile(`${home}${name}.proto`) as DescFile);
  const left = [...registry.files].filter(({ proto }) => proto.name.startsWith(home)).length - files.length;
  if (left > 0) throw new Error(`${left} files of codygateway.v1 are not in the reference: add them to \`order\``);
  return `${[...heading(files), ...files.flatMap(renderFile)].join("\n\n")}\n`;
}

function heading(files: readonly DescFile[]): string[] {
  const common = files.at(-1) as DescFile;
  const services = files.flatMap((file) => file.services);
  return [
    "# API reference: `codygateway.v1`",
    "<!-- Made by docs/generate-api.ts from proto/codygateway/v1: change it there, and run `npm run docs:api`. -->",
    ["| service | RPCs |", "| --- | --- |", ...services.map(serviceRow)].join("\n"),
    ...commentsOf(common).file("##"),
  ];
}

function serviceRow(service: DescService): string {
  return `| [${service.name}](#${slug(service.name)}) | ${service.methods.map(({ name }) => link(name)).join(", ")} |`;
}

function renderFile(file: DescFile): string[] {
  const comments = commentsOf(file);
  const title = file.services[0]?.name ?? "Shared types";
  return [
    `## ${title}`,
    `\`proto/${file.proto.name}\``,
    ...file.services.flatMap((service) => [
      ...comments.of(service),
      ...service.methods.flatMap((method) => renderMethod(method, comments)),
    ]),
    ...file.messages.flatMap((message) => renderMessage(message, comments)),
    ...file.enums.flatMap((each) => renderEnum(each, comments)),
    ...file.extensions.flatMap((each) => renderExtension(each, comments)),
  ];
}

const kinds = {
  unary: "unary",
  server_streaming: "server stream",
  client_streaming: "client stream",
  bidi_streaming: "stream both ways",
};

const idempotencies: Readonly<Record<Idempotency, string | undefined>> = {
  [Idempotency.IDEMPOTENCY_UNKNOWN]: undefined,
  [Idempotency.NO_SIDE_EFFECTS]: "no side effects",
  [Idempotency.IDEMPOTENT]: "idempotent",
};

function renderMethod(method: DescMethod, comments: Comments): string[] {
  const role = AdminRoleSchema.value[getOption(method, admin_role)];
  const facts = [
    kinds[method.methodKind],
    idempotencies[method.idempotency],
    `${typeLink(method.input)} → ${typeLink(method.output)}`,
    hasOption(method, admin_role) && `role \`${role?.localName.toLowerCase()}\``,
  ];
  return [`### ${method.name}`, facts.filter(Boolean).join(" · "), ...comments.of(method)];
}

function renderMessage(message: DescMessage, comments: Comments): string[] {
  const rules = rulesOfMessage(message);
  const oneofs = message.oneofs.map((oneof) => renderOneof(oneof, comments));
  return [
    `### ${nameOf(message)}`,
    ...comments.of(message),
    ...(rules.length > 0 ? [`Rules: ${rules.join("; ")}.`] : []),
    ...oneofs,
    ...(message.fields.length > 0 ? [fieldTable(message, comments)] : ["No fields."]),
    ...message.nestedMessages.flatMap((nested) => renderMessage(nested, comments)),
    ...message.nestedEnums.flatMap((nested) => renderEnum(nested, comments)),
  ];
}

function renderOneof(oneof: DescOneof, comments: Comments): string {
  const fields = oneof.fields.map(({ name }) => `\`${name}\``).join(", ");
  const number = isRequired(oneof) ? "Exactly one" : "At most one";
  return [`${number} of ${fields} (\`${oneof.name}\`).`, comments.line(oneof)].filter(Boolean).join(" ");
}

function fieldTable(message: DescMessage, comments: Comments): string {
  const rows = message.fields.map((field) => {
    const rules = rulesOfField(field);
    const text = [comments.line(field), rules.length > 0 && `*Rules: ${rules.join("; ")}.*`].filter(Boolean).join(" ");
    return `| \`${field.name}\` | ${field.number} | ${fieldType(field)} | ${cell(text)} |`;
  });
  return ["| field | number | type | meaning |", "| --- | --- | --- | --- |", ...rows].join("\n");
}

function fieldType(field: DescField): string {
  if (field.fieldKind === "map") return `map of ${ScalarType[field.mapKey].toLowerCase()} to ${elementType(field)}`;
  if (field.fieldKind === "list") return `repeated ${elementType(field)}`;
  return `${field.proto.proto3Optional ? "optional " : ""}${elementType(field)}`;
}

function elementType(field: DescField): string {
  if (field.message) return typeLink(field.message);
  if (field.enum) return typeLink(field.enum);
  return field.scalar === undefined ? "?" : ScalarType[field.scalar].toLowerCase();
}

function renderEnum(each: DescEnum, comments: Comments): string[] {
  const rows = each.values.map((value) => `| \`${value.name}\` | ${value.number} | ${cell(comments.line(value))} |`);
  const table = ["| value | number | meaning |", "| --- | --- | --- |", ...rows].join("\n");
  return [`### ${nameOf(each)}`, ...comments.of(each), table];
}

function renderExtension(extension: DescExtension, comments: Comments): string[] {
  const repeated = extension.proto.label === Label.REPEATED ? "repeated " : "";
  const type = extension.enum ? typeLink(extension.enum) : "a value";
  return [
    `### Option \`${extension.name}\``,
    `${repeated}${type} · number ${extension.number} · on \`${extension.extendee.typeName}\``,
    ...comments.of(extension),
  ];
}

/** The name within the package: `StreamCompleteResponse.Started`. */
function nameOf({ typeName }: DescMessage | DescEnum): string {
  return typeName.replace("codygateway.v1.", "");
}

function typeLink(type: DescMessage | DescEnum): string {
  return type.typeName.startsWith("codygateway.v1.") ? link(nameOf(type)) : `\`${type.typeName}\``;
}

function link(name: string): string {
  return `[${name}](#${slug(name)})`;
}

/** How GitHub makes an anchor of a heading. */
function slug(title: string): string {
  return title
    .toLowerCase()
    .replaceAll(/[^\w -]/g, "")
    .replaceAll(" ", "-");
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|");
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(resolve(import.meta.dirname, "api.md"), apiReference());
}
