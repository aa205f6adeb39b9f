// Secrets that stand elsewhere: in a variable, or in a file of their own.

/** The environment of the process. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** Reads a text file; throws when it cannot. */
export type ReadFile = (path: string) => string;

/** A secret, or what was expected in its place. */
export type SecretReading = { readonly secret: string } | { readonly expected: string };

/** The secret in the file at `path`, without the white space around it. */
export function readSecretFile(path: string, readFile: ReadFile): SecretReading {
  try {
    const secret = readFile(path).trim();
    return secret ? { secret } : { expected: `a secret in ${printable(path)}, which is empty` };
  } catch (error) {
    return { expected: fileExpected(path, error) };
  }
}

/** Says what `env:NAME` or `file:/path` stands for. */
export type SecretReader = (reference: string) => SecretReading;

export function createSecretReader(env: Environment, readFile: ReadFile): SecretReader {
  return (reference) => {
    const [, kind, name = ""] = /^(env|file):(.+)$/.exec(reference) ?? [];
    if (kind === "file") return readSecretFile(name, readFile);
    if (kind === undefined) return { expected: "a reference, env:NAME or file:/path: secrets are never in the file" };
    const secret = env[name]?.trim();
    return secret ? { secret } : { expected: `the variable ${printable(name)} to be set` };
  };
}

/** What to say of a file that could not be read. The error's own message could repeat what was in it. */
export function fileExpected(path: string, error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  const why = typeof code === "string" ? ` (${code})` : "";
  return `a file that can be read, ${printable(path)} is not${why}`;
}

function printable(name: string): string {
  return /^[\x20-\x7e]{1,200}$/.test(name) ? name : "(unreadable name)";
}
