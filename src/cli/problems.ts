import { formatProblem, type Problem } from "../config.js";
import { exitCodes } from "./exit-codes.js";
import { complain, type Io, line } from "./io.js";

/** Says everything that is wrong with the configuration; returns the exit code for it. */
export function refuseConfig(io: Io, problems: readonly Problem[], notices: readonly string[] = []): number {
  for (const problem of problems) complain(io, formatProblem(problem));
  for (const notice of notices) line(io.stderr, `note: ${notice}`);
  return exitCodes.configuration;
}
