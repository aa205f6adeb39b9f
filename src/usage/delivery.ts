// Sending a batch to a sink that may refuse some of it for good.

import type { UsageEvent } from "./event.js";
import { EventsRefusedError, type RefusedEvent, type Sink } from "./sink.js";

export interface DeliveryOptions {
  /** Most events of one call of the sink. */
  readonly batchSize: number;
  /** How often one event is refused until it is given up. */
  readonly tries: number;
  /** Wait before an event that was refused is tried again; doubles with each time. */
  readonly pauseMs: number;
}

/** So many refused and none taken: then it is asked whether it takes anything at all. */
const suspicious = 8;

/**
 * Sends the events, in order; resolves to those that the sink refuses, each tried often enough, while it takes others. Rejects
 * when it takes none: a sink that refuses everything is away, as one that does not answer. Then some may have arrived.
 */
export async function deliver(
  send: Sink["send"],
  events: readonly UsageEvent[],
  { batchSize, tries, pauseMs }: DeliveryOptions,
): Promise<readonly RefusedEvent[]> {
  let refused: RefusedEvent[] = [];
  let taken = 0;
  /** The sink says which events it refuses. */
  let named = false;

  /** The refusal, or undefined when the sink has them. */
  async function trySend(batch: readonly UsageEvent[]): Promise<EventsRefusedError | undefined> {
    try {
      await send(batch);
      taken += batch.length;
      return undefined;
    } catch (error) {
      if (!(error instanceof EventsRefusedError)) throw error;
      named = error.refused !== undefined;
      taken += error.refused === undefined ? 0 : batch.length - error.refused.length;
      return error;
    }
  }

  /** Splits what is refused until it is known which events are meant. */
  async function isolate(batch: readonly UsageEvent[]): Promise<void> {
    const refusal = await trySend(batch);
    if (refusal === undefined) return;
    if (refusal.refused !== undefined) {
      refused.push(...refusal.refused);
      return;
    }
    const [event] = batch;
    if (event !== undefined && batch.length === 1) {
      refused.push({ event, why: refusal.message });
      if (taken === 0 && refused.length === suspicious) await askForTheLast(refusal);
      return;
    }
    const half = Math.ceil(batch.length / 2);
    await isolate(batch.slice(0, half));
    await isolate(batch.slice(half));
  }

  async function askForTheLast(refusal: EventsRefusedError): Promise<void> {
    if ((await trySend(events.slice(-1))) !== undefined) throw refusal;
  }

  for (let from = 0; from < events.length; from += batchSize) await isolate(events.slice(from, from + batchSize));
  if (taken === 0 && refused.length > 0) throw new EventsRefusedError(refused[0]?.why);

  /** The events that are still refused. One by one, unless the sink says which of several it refuses. */
  async function tryAgain(again: readonly RefusedEvent[]): Promise<RefusedEvent[]> {
    const still: RefusedEvent[] = [];
    const batches = named ? [again] : again.map((each) => [each]);
    for (const batch of batches) {
      const refusal = await trySend(batch.map(({ event }) => event));
      if (refusal !== undefined)
        still.push(...(refusal.refused ?? batch.map(({ event }) => ({ event, why: refusal.message }))));
    }
    return still;
  }

  for (let tried = 1; tried < tries && refused.length > 0; tried++) {
    await pause(pauseMs * 2 ** (tried - 1));
    refused = await tryAgain(refused);
  }
  return refused;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, ms).unref());
}
