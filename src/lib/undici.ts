// The parts of undici that the gateway uses. Its index also loads fetch, WebSocket, EventSource, caches and mocks, of which it uses
// nothing: 9 MB of memory, and a tenth of what a start takes. The version is pinned, so its files stay where they are.

import methods from "undici/lib/api/index.js";
import Agent from "undici/lib/dispatcher/agent.js";
import Dispatcher from "undici/lib/dispatcher/dispatcher.js";
import Pool from "undici/lib/dispatcher/pool.js";

// As the index does: `request` and its like are methods of all dispatchers.
Object.assign(Dispatcher.prototype, methods);

export { Agent, Pool };
