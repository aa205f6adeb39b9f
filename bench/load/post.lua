-- One POST over and over: BENCH_PATH, BENCH_HEADERS (lines of "name: value") and the file BENCH_BODY. Prints a line of JSON.
-- BENCH_ACTORS: so many actors take turns, each with its own token.
wrk.method = "POST"
wrk.path = os.getenv("BENCH_PATH")
for line in string.gmatch(os.getenv("BENCH_HEADERS"), "[^\n]+") do
  local name, value = string.match(line, "^([^:]+): (.*)$")
  wrk.headers[name] = value
end
local file = assert(io.open(os.getenv("BENCH_BODY"), "rb"))
wrk.body = file:read("*a")
file:close()

local actors = tonumber(os.getenv("BENCH_ACTORS") or "1")
if actors > 1 then
  local turn = 0
  request = function()
    turn = (turn + 1) % actors
    wrk.headers["authorization"] = string.format("Bearer bench-%032d", turn)
    return wrk.format()
  end
end

done = function(summary, latency)
  local e = summary.errors
  print(string.format(
    'RESULT {"requests":%d,"durationUs":%d,"p50":%f,"p99":%f,"p999":%f,"errors":%d}',
    summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9),
    e.connect + e.read + e.write + e.status + e.timeout))
end
