// The comments of a proto file, found by what they stand at, as Markdown.

import type { AnyDesc, DescFile } from "@bufbuild/protobuf";

export interface Comments {
  /** Paragraphs, lists among them. */
  of(desc: AnyDesc): string[];
  /** The same on one line, for a table. */
  line(desc: AnyDesc): string;
  /** What stands above `syntax`, from its first heading on; headings are made `level` deep. */
  file(level: string): string[];
}

/** Field numbers of google.protobuf.FileDescriptorProto and of what is in it: a comment's place is a path of them. */
const at = { message: 4, enum: 5, service: 6, extension: 7, syntax: 12 } as const;
const inMessage = { field: 2, message: 3, enum: 4, oneof: 8 } as const;
const inService = { method: 2 } as const;
const inEnum = { value: 2 } as const;

export function commentsOf(file: DescFile): Comments {
  const locations = file.proto.sourceCodeInfo?.location ?? [];
  const texts = new Map(locations.map((location) => [location.path.join("."), location]));
  const textAt = (path: readonly number[]): string => {
    const location = texts.get(path.join("."));
    return [...(location?.leadingDetachedComments ?? []), location?.leadingComments ?? ""].join("\n");
  };
  const of = (desc: AnyDesc): string[] => paragraphs(texts.get(pathOf(desc).join("."))?.leadingComments ?? "");
  return {
    of,
    line: (desc) => of(desc).join(" ").replaceAll("\n", " "),
    file(level) {
      const blocks = paragraphs(textAt([at.syntax]));
      const first = blocks.findIndex((text) => text.startsWith("#"));
      return blocks.slice(first < 0 ? 0 : first).map((text) => text.replace(/^#+(?= )/, level));
    },
  };
}

/** Where a description stands in its file. */
function pathOf(desc: AnyDesc): number[] {
  switch (desc.kind) {
    case "message":
      return desc.parent
        ? [...pathOf(desc.parent), inMessage.message, desc.parent.proto.nestedType.indexOf(desc.proto)]
        : [at.message, desc.file.proto.messageType.indexOf(desc.proto)];
    case "enum":
      return desc.parent
        ? [...pathOf(desc.parent), inMessage.enum, desc.parent.proto.enumType.indexOf(desc.proto)]
        : [at.enum, desc.file.proto.enumType.indexOf(desc.proto)];
    case "field":
      return [...pathOf(desc.parent), inMessage.field, desc.parent.proto.field.indexOf(desc.proto)];
    case "oneof":
      return [...pathOf(desc.parent), inMessage.oneof, desc.parent.proto.oneofDecl.indexOf(desc.proto)];
    case "enum_value":
      return [...pathOf(desc.parent), inEnum.value, desc.parent.proto.value.indexOf(desc.proto)];
    case "service":
      return [at.service, desc.file.proto.service.indexOf(desc.proto)];
    case "rpc":
      return [...pathOf(desc.parent), inService.method, desc.parent.proto.method.indexOf(desc.proto)];
    case "extension":
      return [at.extension, desc.file.proto.extension.indexOf(desc.proto)];
    default:
      throw new Error(`no place for a ${desc.kind}`);
  }
}

/** A comment's paragraphs, each on one line; a list is one, with a line for each entry. */
function paragraphs(comment: string): string[] {
  const lines = comment.split("\n").map((line) => line.replace(/^ /, "").trimEnd());
  const blocks: string[] = [];
  let open = false;
  for (const line of lines) {
    const item = /^ *[*-] /.test(line);
    const last = blocks.length - 1;
    if (line === "") open = false;
    else if (item) {
      const text = line.replace(/^ *[*-] /, "- ");
      if (open && blocks[last]?.startsWith("- ")) blocks[last] += `\n${text}`;
      else blocks.push(text);
      open = true;
    } else if (open) blocks[last] += ` ${line.trim()}`;
    else {
      blocks.push(line);
      open = !line.startsWith("#");
    }
  }
  return blocks;
}
