// The command line: which commands there are, and what the process's end says.

import { UsageError } from "./args.js";
import { exitCodes } from "./exit-codes.js";
import { helpOf, helpOfAdmin, overview } from "./help.js";
import { complain, type Io, json, line } from "./io.js";

type Run = (args: readonly string[], io: Io) => Promise<number>;

/** Loaded when asked for: a command that prints one line needs nothing of a server. */
const commands: Readonly<Record<string, Run>> = {
  serve: async (args, io) => (await import("./serve.js")).runServe(args, io),
  demo: async (args, io) => (await import("./demo.js")).runDemo(args, io),
  token: async (args, io) => (await import("./token.js")).runToken(args, io),
  admin: async (args, io) => (await import("./admin.js")).runAdmin(args, io),
  config: async (args, io) => (await import("./config.js")).runConfig(args, io),
  version: runVersion,
  help: runHelp,
};

const aliases: Readonly<Record<string, string>> = {
  "--version": "version",
  "-v": "version",
  "--help": "help",
  "-h": "help",
};

/** Runs the command line; resolves to the process's exit code. */
export async function run(argv: readonly string[], io: Io): Promise<number> {
  const [first, ...args] = argv;
  if (first === undefined) {
    line(io.stderr, overview());
    return exitCodes.usage;
  }
  const name = aliases[first] ?? first;
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (!command) {
    complain(io, `there is no command ${JSON.stringify(first)}: see cody-gateway help`);
    return exitCodes.usage;
  }
  const options = args.includes("--") ? args.slice(0, args.indexOf("--")) : args;
  const [sub = ""] = options;
  if (options.includes("--help") || options.includes("-h")) return runHelp([name, sub], io);
  try {
    return await command(args, io);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    complain(io, error.message);
    const one = name === "admin" && helpOfAdmin(sub) !== undefined ? `${name} ${sub}` : name;
    line(io.stderr, `see cody-gateway ${one} --help`);
    return exitCodes.usage;
  }
}

async function runVersion(args: readonly string[], io: Io): Promise<number> {
  if (args.includes("--json")) json(io.stdout, { version: io.version });
  else line(io.stdout, io.version);
  return exitCodes.done;
}

async function runHelp([name, sub]: readonly string[], io: Io): Promise<number> {
  const ofOne = name === "admin" && sub !== undefined ? helpOfAdmin(sub) : undefined;
  line(io.stdout, ofOne ?? ((name && (await helpOf(name))) || overview()));
  return exitCodes.done;
}
