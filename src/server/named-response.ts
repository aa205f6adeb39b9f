import { type IncomingMessage, type OutgoingHttpHeader, type OutgoingHttpHeaders, ServerResponse } from "node:http";

type Headers = OutgoingHttpHeaders | OutgoingHttpHeader[];

/**
 * An HTTP/1.1 answer that says which request it is for, whoever writes it. Node makes its answers from a class; setting the
 * header before the others would have it take each of them apart and copy it.
 */
export class NamedResponse<Request extends IncomingMessage = IncomingMessage> extends ServerResponse<Request> {
  requestId = "";

  override writeHead(status: number, reason?: string | Headers, headers?: Headers): this {
    if (Array.isArray(reason)) return super.writeHead(status, [...reason, "x-request-id", this.requestId]);
    if (!this.headersSent) this.setHeader("x-request-id", this.requestId);
    if (typeof reason === "string") return super.writeHead(status, reason, headers);
    return super.writeHead(status, reason);
  }
}
