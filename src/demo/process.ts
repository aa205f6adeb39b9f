// The demo upstream as a process of its own: `node dist/src/demo/process.js [port]`. Prints its URL when it listens.

import { createDemoUpstream } from "./upstream.js";

const upstream = createDemoUpstream({ keepCalls: 100 });
console.log(await upstream.listen(Number(process.argv[2] ?? 0)));
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => void upstream.close());
