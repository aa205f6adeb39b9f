// A listener in a process of its own, for tests that take its files away. Prints its port. Argument: the limits, as JSON.

import { createListener } from "../../src/server/listener.js";
import { silentLog } from "../helpers/log.js";

const listener = createListener(
  { rpc() {}, isRpc: () => false, http: (_req, res) => void res.end(String(process.pid)), log: silentLog },
  { limits: JSON.parse(process.argv[2] ?? "{}") },
);
console.log(await listener.listen(0, "127.0.0.1"));
