import { type ParseArgsConfig, parseArgs } from "node:util";

/** The command line cannot be understood. The message says what was wrong and what to do. Exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/**
 * Reads the options and the arguments of a command, of which there must be at least `min` and at most `max`. Throws
 * `UsageError` for what it does not know. `usage` is how the command is meant to be written.
 */
export function readArgs<const T extends NonNullable<ParseArgsConfig["options"]>>(
  args: readonly string[],
  { options, min, max, usage }: { options: T; min: number; max: number; usage: string },
): Parsed<T> {
  const parsed = parse(args, options);
  const count = parsed.positionals.length;
  if (count < min || count > max) throw new UsageError(`usage: ${usage}`);
  return parsed;
}

type Parsed<T extends NonNullable<ParseArgsConfig["options"]>> = ReturnType<
  typeof parseArgs<{ args: string[]; options: T; allowPositionals: true }>
>;

function parse<const T extends NonNullable<ParseArgsConfig["options"]>>(
  args: readonly string[],
  options: T,
): Parsed<T> {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true });
  } catch (error) {
    // Its messages name the option and say what is wrong with it; what follows the first sentence is advice.
    const [what = ""] = error instanceof Error ? error.message.split(". ") : [];
    throw new UsageError(what, { cause: error });
  }
}
