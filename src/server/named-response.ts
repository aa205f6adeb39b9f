import { type IncomingMessage, type OutgoingHttpHeader, type OutgoingHttpHeaders, ServerResponse } from "node:http";

type Headers = OutgoingHttpHeaders | OutgoingHttpHeader[];

/** What Node's answers have had under these names since there are any, and no others. */
interface Head {
  /** All of it, as it will be sent. */
  _header: string | null;
  readonly _headerSent: boolean;
  /** Not behind a request of HEAD, for one. */
  readonly _hasBody: boolean;
  readonly chunkedEncoding: boolean;
}

/**
 * An HTTP/1.1 answer that says which request and trace it is for, whoever writes it. Node makes its answers from a class; setting
 * headers before the others would have it take each of them apart and copy it.
 */
export class NamedResponse<Request extends IncomingMessage = IncomingMessage>
  extends ServerResponse<Request>
  implements Head
{
  declare _header: string | null;
  declare readonly _headerSent: boolean;
  declare readonly _hasBody: boolean;
  requestId = "";
  traceId = "";
  spanId = "";

  override writeHead(status: number, reason?: string | Headers, headers?: Headers): this {
    const { requestId, traceId, spanId } = this;
    if (Array.isArray(reason)) {
      const own = ["x-request-id", requestId, "x-trace", traceId, "x-trace-span", spanId];
      super.writeHead(status, [...reason, ...own]);
    } else {
      if (!this.headersSent)
        this.setHeader("x-request-id", requestId).setHeader("x-trace", traceId).setHeader("x-trace-span", spanId);
      if (typeof reason === "string") super.writeHead(status, reason, headers);
      else super.writeHead(status, reason);
    }
    joinHead(this);
    return this;
  }

  override end(...given: unknown[]): this {
    const [body] = given;
    const one = given.length === 1 ? inOne(this, body) : undefined;
    if (one === undefined) return super.end(...(given as []));
    this._header = one;
    return super.end();
  }
}

/** Up to here Node writes a text from its stack. */
const oneWriteBytes = 16_384;

/**
 * Head and body as one text, a byte a letter; undefined where there is nothing to join. Node has each leave by itself, even a body
 * that is text: behind it comes an empty one that tells the end. Several pieces cost a fifth of a small answer more than one.
 */
function inOne({ _header: head, _headerSent: sent, _hasBody: has, chunkedEncoding }: Head, body: unknown) {
  if (!head || sent || !has || chunkedEncoding) return undefined;
  const isText = typeof body === "string";
  if (!(isText || body instanceof Uint8Array) || head.length + body.length > oneWriteBytes) return undefined;
  if (isText && Buffer.byteLength(body) === body.length) return head + body;
  const bytes = isText ? Buffer.from(body) : Buffer.from(body.buffer, body.byteOffset, body.length);
  return head + bytes.toString("latin1");
}

/**
 * Node keeps a response's head for as long as the response lasts, and V8 keeps it as the fifty pieces that it was put together
 * from: 3.5 KB, a tenth of what a stream holds. Asked for a character, V8 joins them.
 */
function joinHead({ _header: head }: Head): void {
  head?.charCodeAt(0);
}
