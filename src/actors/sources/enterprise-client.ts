// Calls of the Enterprise Portal: transport, the gateway's own token, deadlines, one retry, errors in plain words.

import { Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import type {
  DescMessage,
  DescMethodServerStreaming,
  DescMethodUnary,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { type Empty, EmptySchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, type Interceptor, type Transport } from "@connectrpc/connect";
import { createTransport as createConnectStreams } from "@connectrpc/connect/protocol-connect";
import { createTransport as createGrpcStreams } from "@connectrpc/connect/protocol-grpc";
import { createConnectTransport, createGrpcTransport, createNodeHttpClient } from "@connectrpc/connect-node";
import {
  CodyAccessService,
  type CodyGatewayAccess,
  type GetCodyGatewayAccessRequest,
} from "../../../gen/enterpriseportal/codyaccess/v1/codyaccess_pb.js";
import {
  type EnterpriseSubscription,
  SubscriptionsService,
} from "../../../gen/enterpriseportal/subscriptions/v1/subscriptions_pb.js";
import { CallError, callFailure } from "../../lib/call-error.js";
import { createHttp2Session } from "../../lib/http2-session.js";
import type { TokenSource } from "../../lib/oauth.js";
import { untilAborted } from "../../lib/until-aborted.js";
import { SourceError } from "../source.js";
import { connectInParts, grpcInParts, maxPartBytes } from "./enterprise-parts.js";

/** What errors call the portal. */
export const portalService = "Enterprise Portal";

export interface PortalOptions {
  readonly url: string;
  /** gRPC over HTTP/2, or Connect over HTTP/1.1 for networks that only let that through. */
  readonly protocol: "grpc" | "connect";
  readonly userAgent: string;
  /** Time for one look-up. Default 5 s. */
  readonly lookupTimeoutMs?: number;
  /** Time for one page of the listing, or for all of it where the portal does not page, taking it over included. Default 5 min. */
  readonly listTimeoutMs?: number;
}

/** A part of a page of a listing. Entries are left as bytes: one that cannot be decoded does not take the others with it. */
export interface PortalPart {
  readonly entries: readonly Uint8Array[];
  /** Told in one part of the page, mostly the first; in none of the last page. */
  readonly nextPageToken: string | undefined;
}

/**
 * A page as it comes; it is complete when this ends. Undefined when the portal cannot do this. Whoever does not read all of it
 * aborts the signal.
 */
export type PortalPage = Promise<AsyncIterable<PortalPart> | undefined>;

/** Which page of a listing. */
export interface PageQuery {
  /** Most entries to return. */
  readonly size: number;
  /** `nextPageToken` of the page before; empty for the first. */
  readonly token: string;
}

/** The portal. All throw `SourceError`, or the signal's reason. */
export interface PortalClient {
  /** Undefined when there is no such subscription. */
  get(query: GetCodyGatewayAccessRequest["query"], signal: AbortSignal): Promise<CodyGatewayAccess | undefined>;
  /** Size 0 leaves it to the portal how much it returns. */
  list(page: PageQuery, signal: AbortSignal): PortalPage;
  /** Undefined when there is no such subscription. */
  subscription(id: string, signal: AbortSignal): Promise<EnterpriseSubscription | undefined>;
  /** As `list`: what the subscriptions themselves are. */
  subscriptions(page: PageQuery, signal: AbortSignal): PortalPage;
  /** As `list`: licenses that are not revoked, newest first, of one subscription or of all. */
  licenses(page: PageQuery, subscriptionId: string | undefined, signal: AbortSignal): PortalPage;
  close(): void;
}

const maxLookupBytes = 1024 * 1024;
/** Room for a million subscriptions at once: they are not held, only read. */
const maxListBytes = 512 * 1024 * 1024;

const { getCodyGatewayAccess: getMethod, listCodyGatewayAccesses } = CodyAccessService.method;
const { getEnterpriseSubscription, listEnterpriseSubscriptions, listEnterpriseSubscriptionLicenses } =
  SubscriptionsService.method;
const inParts = { methodKind: "server_streaming", output: EmptySchema } as const;
/** Listings in parts, with everything in them left undecoded. All have the same fields. */
const listMethods = {
  accesses: { ...listCodyGatewayAccesses, ...inParts },
  subscriptions: { ...listEnterpriseSubscriptions, ...inParts },
  licenses: { ...listEnterpriseSubscriptionLicenses, ...inParts },
};
const listFields = { nextPageToken: 1, entries: 2 };

/** Without `tokens`, calls carry no token. */
export function createPortalClient(
  parts: { readonly tokens?: TokenSource | undefined },
  options: PortalOptions,
): PortalClient {
  const { lookupTimeoutMs = 5_000, listTimeoutMs = 300_000 } = options;
  const interceptors = [identify(options.userAgent), ...(parts.tokens ? [authorise(parts.tokens)] : [])];
  const { lookups, listings, close } = connect(options, interceptors);

  const limits = { lookup: lookupTimeoutMs, list: listTimeoutMs };

  async function listing<Request extends DescMessage>(
    method: ListMethod<Request>,
    request: MessageInitShape<Request>,
    signal: AbortSignal,
  ): PortalPage {
    try {
      return readParts(await open(listings, method, request, { signal, timeoutMs: limits.list }), signal);
    } catch (error) {
      if (error instanceof ConnectError && error.code === Code.Unimplemented) return undefined;
      throw plain(error, signal);
    }
  }

  /** What `read` takes of the answer; undefined where there is no such thing. */
  async function found<Request extends DescMessage, Answer extends DescMessage, T>(
    method: DescMethodUnary<Request, Answer>,
    request: MessageInitShape<Request>,
    signal: AbortSignal,
    read: (answer: MessageShape<Answer>) => T | undefined,
  ): Promise<T | undefined> {
    try {
      const answer = await call(lookups, method, request, { signal, timeoutMs: limits.lookup });
      const value = read(answer);
      if (value === undefined) throw trouble("answered without what was asked for");
      return value;
    } catch (error) {
      if (error instanceof ConnectError && error.code === Code.NotFound) return undefined;
      throw plain(error, signal);
    }
  }

  return {
    get: (query, signal) => found(getMethod, { query }, signal, ({ access }) => access),
    list: (page, signal) => listing(listMethods.accesses, toRequest(page), signal),
    subscription: (id, signal) =>
      found(
        getEnterpriseSubscription,
        { query: { case: "id", value: id } },
        signal,
        ({ subscription }) => subscription,
      ),
    subscriptions: (page, signal) => listing(listMethods.subscriptions, toRequest(page), signal),
    licenses(page, subscriptionId, signal) {
      const filters = [
        { filter: { case: "isRevoked" as const, value: false } },
        ...(subscriptionId === undefined
          ? []
          : [{ filter: { case: "subscriptionId" as const, value: subscriptionId } }]),
      ];
      return listing(listMethods.licenses, { ...toRequest(page), filters }, signal);
    },
    close,
  };
}

type ListMethod<Request extends DescMessage> = DescMethodServerStreaming<Request, typeof EmptySchema>;

function toRequest({ size, token }: PageQuery): { pageSize: number; pageToken: string } {
  return { pageSize: size, pageToken: token };
}

interface Connection {
  readonly lookups: Transport;
  /** Unary calls are streaming ones here. */
  readonly listings: Transport;
  close(): void;
}

function connect({ url, protocol }: PortalOptions, interceptors: Interceptor[]): Connection {
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

/** Connections that were closed meanwhile, tokens that were revoked: what a second attempt mends. Calls only read. */
const passing = new Set([Code.Unavailable, Code.Aborted, Code.Canceled, Code.Unauthenticated]);

interface CallLimits {
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
}

async function call<Request extends DescMessage, Answer extends DescMessage>(
  transport: Transport,
  method: DescMethodUnary<Request, Answer>,
  request: MessageInitShape<Request>,
  limits: CallLimits,
): Promise<MessageShape<Answer>> {
  return twice(limits, async (timeoutMs) => {
    return (await transport.unary(method, limits.signal, timeoutMs, undefined, request)).message;
  });
}

/** Begins a listing: with its first part there, the call stands. */
async function open<Request extends DescMessage>(
  transport: Transport,
  method: ListMethod<Request>,
  request: MessageInitShape<Request>,
  limits: CallLimits,
): Promise<AsyncIterable<Empty>> {
  return twice(limits, async (timeoutMs) => {
    const answer = await transport.stream(method, limits.signal, timeoutMs, undefined, once(request));
    const parts = answer.message[Symbol.asyncIterator]();
    const first = await parts.next();
    return resumed(first, parts);
  });
}

async function* once<T>(value: T): AsyncGenerator<T> {
  yield value;
}

async function* resumed<T>(first: IteratorResult<T>, rest: AsyncIterator<T>): AsyncGenerator<T> {
  for (let next = first; !next.done; next = await rest.next()) yield next.value;
}

/** Tries again, once and within the same time, what a second attempt may mend. */
async function twice<T>({ signal, timeoutMs }: CallLimits, attempt: (timeoutMs: number) => Promise<T>): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  const left = (): number => Math.max(1, Math.ceil(deadline - performance.now()));
  try {
    return await attempt(left());
  } catch (error) {
    if (signal.aborted || !isPassing(error)) throw error;
    return attempt(left());
  }
}

function isPassing(error: unknown): boolean {
  if (!(error instanceof ConnectError)) return false;
  const { kind } = callFailure(error.cause);
  return passing.has(error.code) || kind === "unreachable" || kind === "broken";
}

async function* readParts(parts: AsyncIterable<Empty>, signal: AbortSignal): AsyncGenerator<PortalPart> {
  try {
    for await (const part of parts) yield readPart(part);
  } catch (error) {
    throw plain(error, signal);
  }
}

function readPart({ $unknown = [] }: Empty): PortalPart {
  const entries: Uint8Array[] = [];
  let nextPageToken: string | undefined;
  for (const { no, wireType, data } of $unknown) {
    if (no !== listFields.nextPageToken && no !== listFields.entries) continue;
    if (wireType !== WireType.LengthDelimited) throw trouble("answered with something that is no listing");
    const reader = new BinaryReader(data);
    if (no === listFields.entries) entries.push(reader.bytes());
    else nextPageToken = reader.string() || undefined;
  }
  return { entries, nextPageToken };
}

/** What went wrong, for people; what ended it where it was ended on purpose. */
function plain(error: unknown, signal: AbortSignal): unknown {
  if (error instanceof SourceError) return error;
  if (signal.aborted) return signal.reason;
  if (!(error instanceof ConnectError)) return trouble(callFailure(error).why);
  const { code, cause, rawMessage } = error;
  // No token of the gateway's own.
  if (cause instanceof CallError) return new SourceError(cause.message, { cause });
  if (code === Code.DeadlineExceeded) return trouble("did not answer in time");
  return trouble(cause === undefined ? `answered with ${nameOf(code)}${said(rawMessage)}` : callFailure(cause).why);
}

/** An error of the portal: how it failed. */
export function trouble(how: string): SourceError {
  return new SourceError(`${portalService} ${how}`);
}

/** `permission_denied`. */
function nameOf(code: Code): string {
  return Code[code].replace(/(?<=[a-z])[A-Z]/g, (letter) => `_${letter}`).toLowerCase();
}

/** The portal's own words, without whatever in them could be a secret. */
function said(message: string): string {
  const plainText = message
    .replace(/[^\x20-\x7e]+/g, " ")
    .replace(/[\w+/=.-]{24,}/g, "…")
    .trim();
  return plainText === "" ? "" : `: ${plainText.slice(0, 160)}`;
}
