import { type ParseArgsConfig, parseArgs } from "node:util";

/** The command line cannot be understood. The message says what was wrong and what to do. Exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** Parses a command's arguments, of which `--help` is always one. Throws `UsageError` for what it does not know. */
export function readArgs<T extends NonNullable<ParseArgsConfig["options"]>>(
  args: readonly string[],
  options: T,
  positionals: { readonly min: number; readonly max: number; readonly usage: string },
) {
  const parsed = parse(args, options);
  const count = parsed.positionals.length;
  if (parsed.values["help"] !== true && (count < positionals.min || count > positionals.max)) {
    throw new UsageError(`usage: ${positionals.usage}`);
  }
  return parsed;
}

function parse<T extends NonNullable<ParseArgsConfig["options"]>>(args: readonly string[], options: T) {
  try {
    const help = { type: "boolean", short: "h" } as const;
    return parseArgs({ args: [...args], options: { ...options, help }, allowPositionals: true });
  } catch (error) {
    // Its messages name the option and say what is wrong with it; they end in advice of their own.
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}
