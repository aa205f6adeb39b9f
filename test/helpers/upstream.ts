import { createDemoUpstream, type DemoUpstream, type DemoUpstreamOptions } from "../../src/demo/upstream.js";

/** A demo upstream that listens on a free port. `await using upstream = await testUpstream();` */
export async function testUpstream(options?: DemoUpstreamOptions): Promise<DemoUpstream> {
  const upstream = createDemoUpstream(options);
  await upstream.listen();
  return upstream;
}
