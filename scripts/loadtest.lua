-- SPDX-License-Identifier: BSD-2-Clause
-- For wrk, from scripts/load.py: asks the paths of a file (the first argument) in turn, with the header "NAME:VALUE" (the
-- second, may be empty), and says at the end, in one line: requests, microseconds, bytes, errors, and
-- microseconds of the percentiles 50, 90, 99 and 100.
local threads = 0

function setup(thread)
	thread:set("number", threads)
	threads = threads + 1
end

function init(args)
	paths = {}
	for line in io.lines(args[1]) do
		paths[#paths + 1] = line
	end
	headers = {}
	local name, value = string.match(args[2] or "", "^(.-):(.*)$")
	if name then
		headers[name] = value
	end
	at = number * 7919
end

function request()
	at = at + 1
	return wrk.format("GET", paths[at % #paths + 1], headers)
end

function done(summary, latency)
	local e = summary.errors
	io.write(string.format("loadtest %d %d %d %d %d %d %d %d\n", summary.requests, summary.duration, summary.bytes,
		e.connect + e.read + e.write + e.timeout + e.status, latency:percentile(50), latency:percentile(90),
		latency:percentile(99), latency.max))
end
