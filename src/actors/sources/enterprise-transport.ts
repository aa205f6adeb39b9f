// How the Enterprise Portal is reached: gRPC or Connect, with the gateway's own token.

import { Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import { Code, ConnectError, type Interceptor, type Transport } from "@connectrpc/connect";
import { createTransport as createConnectStreams } from "@connectrpc/connect/protocol-connect";
import { createTransport as createGrpcStreams } from "@connectrpc/connect/protocol-grpc";
import { createConnectTransport, createGrpcTransport, createNodeHttpClient } from "@connectrpc/connect-node";
import { createHttp2Session } from "../../lib/http2-session.js";
import type { TokenSource } from "../../lib/oauth.js";
import { untilAborted } from "../../lib/until-aborted.js";
import { connectInParts, grpcInParts, maxPartBytes } from "./enterprise-parts.js";

/** Where the portal is, and how it is spoken to. */
export interface PortalPlace {
  readonly url: string;
  /** gRPC over HTTP/2, or Connect over HTTP/1.1 for networks that only let that through. */
  readonly protocol: "grpc" | "connect";
  readonly userAgent: string;
}

const maxLookupBytes = 1024 * 1024;
/** Room for a million subscriptions at once: they are not held, only read. */
const maxListBytes = 512 * 1024 * 1024;

/** Ways to the portal. */
export interface Connection {
  readonly lookups: Transport;
  /** Unary calls are streaming ones here. */
  readonly listings: Transport;
  close(): void;
}

/** Without `tokens`, calls carry no token. */
export function connectPortal({ url, protocol, userAgent }: PortalPlace, tokens: TokenSource | undefined): Connection {
  // Calls have headers. Node loads what is behind that name when it is first used, for 40 ms: now, not while callers wait.
  void globalThis.Headers;
  const interceptors = [identify(userAgent), ...(tokens ? [authorise(tokens)] : [])];
  const common = { baseUrl: url, interceptors, acceptCompression: [] };
  const parts = {
    ...common,
    useBinaryFormat: true,
    sendCompression: null,
    compressMinBytes: 0,
    readMaxBytes: maxPartBytes,
    writeMaxBytes: maxLookupBytes,
  };
  if (protocol === "connect") {
    const Agent = url.startsWith("https:") ? HttpsAgent : HttpAgent;
    const agent = new Agent({ keepAlive: true, maxSockets: 16 });
    const nodeOptions = { agent };
    const client = createNodeHttpClient({ httpVersion: "1.1", nodeOptions });
    return {
      lookups: createConnectTransport({ ...common, readMaxBytes: maxLookupBytes, httpVersion: "1.1", nodeOptions }),
      listings: createConnectStreams({ ...parts, httpClient: connectInParts(client, maxListBytes) }),
      close: () => agent.destroy(),
    };
  }
  const sessionManager = createHttp2Session(url);
  const client = createNodeHttpClient({ httpVersion: "2", sessionProvider: () => sessionManager });
  return {
    lookups: createGrpcTransport({ ...common, readMaxBytes: maxLookupBytes, sessionManager }),
    listings: createGrpcStreams({ ...parts, httpClient: grpcInParts(client, maxListBytes) }),
    close: sessionManager.close,
  };
}

function identify(userAgent: string): Interceptor {
  return (next) => (req) => {
    req.header.set("user-agent", userAgent);
    return next(req);
  };
}

function authorise(tokens: TokenSource): Interceptor {
  return (next) => async (req) => {
    const token = await untilAborted(tokens.get(), req.signal);
    req.header.set("authorization", `Bearer ${token}`);
    try {
      return await next(req);
    } catch (error) {
      if (ConnectError.from(error).code === Code.Unauthenticated) tokens.refused(token);
      throw error;
    }
  };
}
