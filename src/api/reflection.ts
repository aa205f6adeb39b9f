// Server reflection, so that standard tools work without the proto files:
// https://github.com/grpc/grpc/blob/master/doc/server-reflection.md. v1 and v1alpha differ in their names only.

import { createRegistry, type DescFile, type DescService, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";

/** What a request of either version asks. */
type Question =
  | { case: "listServices" | "fileByFilename" | "fileContainingSymbol" | "allExtensionNumbersOfType"; value: string }
  | { case: "fileContainingExtension"; value: { containingType: string; extensionNumber: number } }
  | { case: undefined; value?: undefined };

/** The answer of either version. */
type Answer =
  | { case: "listServicesResponse"; value: { service: { name: string }[] } }
  | { case: "fileDescriptorResponse"; value: { fileDescriptorProto: Uint8Array[] } }
  | { case: "allExtensionNumbersResponse"; value: { baseTypeName: string; extensionNumber: number[] } }
  | { case: "errorResponse"; value: { errorCode: number; errorMessage: string } };

interface Reflection {
  serverReflectionInfo(
    requests: AsyncIterable<{ host: string; messageRequest: Question }>,
  ): AsyncGenerator<{ validHost: string; messageResponse: Answer }>;
}

/** Describes `services` and all that their files import. */
export function reflection(services: readonly DescService[]): Reflection {
  const files = new Map<string, DescFile>();
  const collect = (file: DescFile): void => {
    if (files.has(file.proto.name)) return;
    files.set(file.proto.name, file);
    file.dependencies.forEach(collect);
  };
  for (const service of services) collect(service.file);
  const registry = createRegistry(...files.values());

  const answer = (question: Question): Answer => {
    switch (question.case) {
      case "listServices":
        return {
          case: "listServicesResponse",
          value: { service: services.map(({ typeName }) => ({ name: typeName })) },
        };
      case "fileByFilename":
        return describe(files.get(question.value), question.value);
      case "fileContainingSymbol":
        return describe(fileOf(question.value), question.value);
      case "fileContainingExtension": {
        const { containingType, extensionNumber } = question.value;
        const type = registry.getMessage(containingType);
        return describe(type && registry.getExtensionFor(type, extensionNumber)?.file, containingType);
      }
      case "allExtensionNumbersOfType":
        return allExtensions(question.value);
      default:
        return failure(Code.InvalidArgument, "empty request");
    }
  };

  const fileOf = (symbol: string): DescFile | undefined => {
    const whole = registry.get(symbol);
    if (whole) return whole.file;
    // A method or field is found by the type that holds it.
    const holder = registry.get(symbol.slice(0, symbol.lastIndexOf(".")));
    return holder?.file;
  };

  const describe = (file: DescFile | undefined, asked: string): Answer => {
    if (!file) return failure(Code.NotFound, `unknown: ${asked}`);
    return {
      case: "fileDescriptorResponse",
      value: { fileDescriptorProto: [toBinary(FileDescriptorProtoSchema, file.proto)] },
    };
  };

  const allExtensions = (typeName: string): Answer => {
    if (!registry.getMessage(typeName)) return failure(Code.NotFound, `unknown: ${typeName}`);
    const extensionNumber: number[] = [];
    for (const type of registry) {
      if (type.kind === "extension" && type.extendee.typeName === typeName) extensionNumber.push(type.number);
    }
    return { case: "allExtensionNumbersResponse", value: { baseTypeName: typeName, extensionNumber } };
  };

  return {
    async *serverReflectionInfo(requests) {
      for await (const request of requests) {
        yield { validHost: request.host, messageResponse: answer(request.messageRequest) };
      }
    },
  };
}

function failure(code: Code, errorMessage: string): Answer {
  return { case: "errorResponse", value: { errorCode: code, errorMessage } };
}
