import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import { type Health, HealthCheckResponse_ServingStatus as Status } from "../../gen/grpc/health/v1/health_pb.js";
import type { Readiness } from "../lib/readiness.js";

/** https://github.com/grpc/grpc/blob/master/doc/health-checking.md: "" is the server as a whole. */
export function health(parts: { readiness: Readiness }, services: ReadonlySet<string>): ServiceImpl<typeof Health> {
  const statusOf = (service: string): Status => {
    if (service !== "" && !services.has(service)) return Status.SERVICE_UNKNOWN;
    return parts.readiness.ready() ? Status.SERVING : Status.NOT_SERVING;
  };
  return {
    check({ service }) {
      const status = statusOf(service);
      if (status === Status.SERVICE_UNKNOWN) throw new ConnectError("unknown service", Code.NotFound);
      return { status };
    },

    list() {
      const all = ["", ...services].map((service) => [service, { status: statusOf(service) }] as const);
      return { statuses: Object.fromEntries(all) };
    },

    async *watch({ service }, { signal }) {
      let wake: () => void = () => {};
      const off = parts.readiness.onChange(() => wake());
      signal.addEventListener("abort", () => wake(), { once: true });
      try {
        for (let last: Status | undefined; !signal.aborted; ) {
          const status = statusOf(service);
          const changed = new Promise<void>((resolve) => {
            wake = resolve;
          });
          if (status !== last) yield { status };
          last = status;
          if (statusOf(service) === last && !signal.aborted) await changed;
        }
      } finally {
        off();
      }
    },
  };
}
