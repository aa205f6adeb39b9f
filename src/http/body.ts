import { createGunzip } from "node:zlib";
import { BodyTooLargeError, InvalidRequestError } from "../errors.js";
import { type HttpRequest, header } from "./http.js";

/**
 * The request's body, whole. Gzip is undone, and counts decoded. Throws `BodyTooLargeError`, or `InvalidRequestError` when
 * the body breaks off or is no gzip.
 */
export function readBody(req: HttpRequest, maxBytes: number): Promise<Buffer> {
  const length = Number(header(req, "content-length") ?? 0);
  if (length > maxBytes) return Promise.reject(new BodyTooLargeError(maxBytes));
  const gzip = header(req, "content-encoding")?.toLowerCase() === "gzip";
  const source = gzip ? req.pipe(createGunzip()) : req;
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const fail = (error: Error): void => {
      source.off("data", take);
      if (gzip) source.destroy();
      reject(error);
    };
    const take = (chunk: Buffer): void => {
      bytes += chunk.length;
      if (bytes > maxBytes) fail(new BodyTooLargeError(maxBytes));
      else chunks.push(chunk);
    };
    source.on("data", take);
    source.on("end", () => resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks, bytes)));
    if (gzip) source.on("error", () => fail(new InvalidRequestError("request body is not gzip")));
    // Whatever ends a request early, it is closed then. Unpacking may still be under way when all of it has arrived.
    req.on("close", () => {
      if (!req.readableEnded) fail(new InvalidRequestError("request body broke off"));
    });
  });
}
