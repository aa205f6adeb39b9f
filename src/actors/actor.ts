/** What an actor may use the gateway for. */
export type Feature = "chat_completions" | "code_completions" | "embeddings";

/** All features, in the order they are shown. */
export const features: readonly Feature[] = ["chat_completions", "code_completions", "embeddings"];

/** What a limit counts. One microdollar is a millionth of a US dollar. */
export type Unit = "requests" | "tokens" | "microdollars";

/** At most `amount` of `unit` in each window of `windowMs`. */
export interface Limit {
  readonly amount: number;
  readonly unit: Unit;
  /** Length of a window, which opens with the first request counted in it. */
  readonly windowMs: number;
  /** Patterns of gateway model names (`anthropic/*`) whose requests count; absent: all of the feature. */
  readonly models?: readonly string[];
  /** A short window against bursts: refused as too much at once, not as quota used up. Default false. */
  readonly burst?: boolean;
}

/** What each user of an actor may have for itself, of what the actor has. All of it counts in the actor's limits as well. */
export interface PerUser {
  readonly limits: readonly Limit[];
  /** Most requests in flight of one user; absent: as many as the actor may have. */
  readonly inFlight?: number;
  /** So many percent of each limit of the actor, but those against bursts: above 0, at most 100. At least 1 unit. */
  readonly percentage?: number;
}

/** What an actor may do with one feature. A feature without limits is unlimited; without an entry, there is no access. */
export interface FeatureAccess {
  readonly limits: readonly Limit[];
  /** Most requests in flight at any time; absent: as many as it likes. */
  readonly inFlight?: number;
  /** Absent: one user may use up what the actor has. */
  readonly perUser?: PerUser;
  /** Patterns of gateway model names the actor may use; `["*"]` is whatever the gateway allows. */
  readonly models: readonly string[];
}

/** A user of an actor, as the actor says: it is told, not proved. */
export interface EndUser {
  /** The user's id at the actor's instance, `internal`, or `none`. */
  readonly id?: string;
  /** The id of a visitor who is nobody yet. */
  readonly anonymousId?: string;
}

/** Who is calling: an identity with limits. */
export interface Actor {
  /** Stable within its source: the bare subscription UUID, the decimal user id, the id of the configuration file. */
  readonly id: string;
  readonly name: string;
  /** Wire name of the source it comes from. */
  readonly source: string;
  readonly accessEnabled: boolean;
  /** Why it has no access here that its source would give it: this deployment is for development, and its license is not. */
  readonly withheld?: "license";
  readonly features: Readonly<Partial<Record<Feature, FeatureAccess>>>;
  /** When its source last confirmed it. */
  readonly updatedAt: Date;
}
