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
    let whole = false;
    source.once("end", () => {
      whole = true;
      resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks, bytes));
    });
    source.once("error", () =>
      fail(new InvalidRequestError(gzip ? "request body is not gzip" : "request body broke off")),
    );
    req.once("close", () => {
      // Unpacking may still be under way when all of the request has arrived.
      if (!whole && !req.readableEnded) fail(new InvalidRequestError("request body broke off"));
    });
  });
}
