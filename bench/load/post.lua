-- One POST over and over: BENCH_PATH, BENCH_HEADERS (lines of "name: value") and the file BENCH_BODY. Prints a line of JSON.
wrk.method = "POST"
wrk.path = os.getenv("BENCH_PATH")
for line in string.gmatch(os.getenv("BENCH_HEADERS"), "[^\n]+") do
  local name, value = string.match(line, "^([^:]+): (.*)$")
  wrk.headers[name] = value
end
local file = assert(io.open(os.getenv("BENCH_BODY"), "rb"))
wrk.body = file:read("*a")
file:close()

done = function(summary, latency)
  local e = summary.errors
  print(string.format(
    'RESULT {"requests":%d,"durationUs":%d,"p50":%f,"p99":%f,"p999":%f,"errors":%d}',
    summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9),
    e.connect + e.read + e.write + e.status + e.timeout))
end
