/** The database cannot be written just now, and nothing of what was handed over is in it. `cause` is what the disk said. */
export class DatabaseAwayError extends Error {
  override readonly name = "DatabaseAwayError";
  constructor(cause: unknown) {
    super("the database in the data directory cannot be written", { cause });
  }
}

/** The database cannot be used at all. The message says why, and what to do about it. */
export class DatabaseUnusableError extends Error {
  override readonly name = "DatabaseUnusableError";
}

/** What SQLite said: `code` is its own, `SQLITE_FULL`. */
export class SqlError extends Error {
  override readonly name = "SqlError";
  constructor(
    readonly code: string,
    message: string,
    /** It is of the disk or the file: every other statement would meet it too. */
    readonly disk: boolean,
  ) {
    super(message);
  }
}

/** Whether an error is of the disk or the file. */
export function isDiskError(error: unknown): error is SqlError {
  return error instanceof SqlError && error.disk;
}

/** Why a database cannot be opened or read, in words for an operator. Errors that have no such reason stay what they are. */
export function unusable(path: string, error: unknown): unknown {
  if (!(error instanceof SqlError)) return error;
  const advice = adviceOn(error.code);
  if (advice === undefined) return error;
  return new DatabaseUnusableError(`${path} ${advice} (${error.message})`, { cause: error });
}

function adviceOn(code: string): string | undefined {
  switch (code.split("_")[1]) {
    case "BUSY":
    case "LOCKED":
      return "is in use by another process: stop that process, or give this one a data directory of its own";
    case "NOTADB":
    case "CORRUPT":
      return "is damaged or no database: restore it from a backup, or move it away to start with an empty one";
    case "FOREIGN":
      return "belongs to another program: give this one a data directory of its own";
    case "NEWER":
      return "was written by a newer version of this program: start that version, or move the file away";
    case "CANTOPEN":
    case "READONLY":
      return "cannot be opened: its directory must exist and be writable for this process";
    case "FULL":
    case "IOERR":
      return "cannot be read and written: see to its disk";
    default:
      return undefined;
  }
}
