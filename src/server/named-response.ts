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
      return super.writeHead(status, [...reason, ...own]);
    }
    if (!this.headersSent)
      this.setHeader("x-request-id", requestId).setHeader("x-trace", traceId).setHeader("x-trace-span", spanId);
    if (typeof reason === "string") return super.writeHead(status, reason, headers);
    return super.writeHead(status, reason);
  }
}
