// The parts of undici that the gateway uses. Its index also loads fetch, WebSocket, EventSource, caches and mocks, of which it uses
// nothing: 9 MB of memory, and a tenth of what a start takes. The version is pinned, so its files stay where they are.

import type * as Undici from "undici";
// @ts-expect-error Only the index has types.
import api from "undici/lib/api/index.js";
// @ts-expect-error See above.
import AgentPart from "undici/lib/dispatcher/agent.js";
// @ts-expect-error See above.
import DispatcherPart from "undici/lib/dispatcher/dispatcher.js";
// @ts-expect-error See above.
import PoolPart from "undici/lib/dispatcher/pool.js";

// As the index does: `request` and its like are methods of all dispatchers.
Object.assign(DispatcherPart.prototype, api);

export const Agent: typeof Undici.Agent = AgentPart;
export type Agent = Undici.Agent;
export const Pool: typeof Undici.Pool = PoolPart;
export type Pool = Undici.Pool;
