import { type IncomingMessage, type OutgoingHttpHeader, type OutgoingHttpHeaders, ServerResponse } from "node:http";

type Headers = OutgoingHttpHeaders | OutgoingHttpHeader[];

/**
 * An HTTP/1.1 answer that says which request and trace it is for, whoever writes it. Node makes its answers from a class; setting
 * headers before the others would have it take each of them apart and copy it.
 */
export class NamedResponse<Request extends IncomingMessage = IncomingMessage> extends ServerResponse<Request> {
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
}

/**
 * Node keeps a response's head for as long as the response lasts, and V8 keeps it as the fifty pieces that it was put together
 * from: 3.5 KB, a tenth of what a stream holds. Asked for a character, V8 joins them.
 */
function joinHead(res: ServerResponse): void {
  const { _header: head } = res as ServerResponse & { readonly _header?: string | null };
  head?.charCodeAt(0);
}
