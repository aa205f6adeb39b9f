import { readFileSync, statSync } from "node:fs";
import { createSecureContext } from "node:tls";
import type { Log } from "../lib/log.js";

/** Where the certificate chain and its key are, both PEM. */
export interface CertificateFiles {
  readonly certFile: string;
  readonly keyFile: string;
}

/** What a secure context is made from. */
export interface Certificate {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly minVersion: "TLSv1.2";
}

/** Reads certificate and key. Throws when a file cannot be read or the two do not belong together. */
export function readCertificate(files: CertificateFiles): Certificate {
  const certificate: Certificate = {
    cert: readFileSync(files.certFile),
    key: readFileSync(files.keyFile),
    minVersion: "TLSv1.2",
  };
  createSecureContext(certificate);
  return certificate;
}

/**
 * Looks at the files every `everyMs` and calls `apply` with a new certificate; files that do not fit together change nothing and
 * are looked at again. By stat, not by watching: mounted secrets are replaced by changing a link. Returns what ends it.
 */
export function watchCertificate(
  files: CertificateFiles,
  parts: { apply(certificate: Certificate): void; log: Log },
  everyMs: number,
): () => void {
  let applied = stamp(files);
  let refused: string | undefined;
  const look = (): void => {
    const now = stamp(files);
    if (now === applied || now === refused) return;
    try {
      parts.apply(readCertificate(files));
      applied = now;
      refused = undefined;
      parts.log.info({ certFile: files.certFile }, "TLS certificate reloaded");
    } catch (error) {
      refused = now;
      parts.log.warn({ err: error, certFile: files.certFile }, "TLS certificate not reloaded");
    }
  };
  const timer = setInterval(look, everyMs);
  timer.unref();
  return () => clearInterval(timer);
}

/** Differs whenever one of the files has changed. */
function stamp({ certFile, keyFile }: CertificateFiles): string {
  return [certFile, keyFile]
    .map((file) => {
      const stat = statSync(file, { throwIfNoEntry: false });
      return stat ? `${stat.ino}:${stat.size}:${stat.mtimeMs}` : "gone";
    })
    .join(" ");
}
