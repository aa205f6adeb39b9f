// What a part tells of its work to whoever traces it. Parts are handed a span, or undefined: then nobody does.

/** Work that is traced, from its beginning to its end. Nothing here throws. What is told after the end is passed over. */
export interface Span {
  /** What it is called from now on. One of few words: what differs from one to the next stands in attributes. */
  rename(name: string): void;
  /** Says more of it. What is undefined is not said; of two under one name the later counts. */
  set(attributes: Attributes): void;
  /** It did not succeed: `why` is one of few words. */
  fail(why: string): void;
  /** Something that happened, `afterMs` after the beginning. */
  event(name: string, afterMs: number): void;
  /** Work that is a part of it, and begins now. `client`: somebody else does it. */
  child(name: string, kind: "internal" | "client"): Span;
  /** It is not told as over before `release`, though it may have ended: somebody still has to say how it went. */
  retain(): void;
  release(): void;
  end(): void;
  /** Nothing is told of it after all. */
  discard(): void;
}

/** Names as OpenTelemetry has them where it has any: https://opentelemetry.io/docs/specs/semconv/ */
export type Attributes = Readonly<Record<string, string | number | boolean | undefined>>;
