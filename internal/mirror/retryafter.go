package mirror

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// requestedWait reads how long an answer asks to wait, 0 when it does not say. refused tells
// whether the request itself was turned away; an answer that grants it only asks for a pause when
// it says that nothing remains.
//
//	Retry-After: 3                                          3 s
//	Retry-After: Wed, 21 Oct 2026 07:28:03 GMT              until then, by the clock of the answer's Date
//	X-Retry-After: 1792567683                               until then; Docker Hub's API used to send this
//	RateLimit-Remaining: 0, RateLimit-Reset: 50             50 s (GitLab and the IETF's draft send seconds ...
//	X-RateLimit-Remaining: 0, X-RateLimit-Reset: 1792567683 ... GitHub and Gitea the time)
//	RateLimit: "default";r=0;t=50                           50 s, a later draft
//	RateLimit-Limit: 100;w=21600                            216 s after a refusal: Docker Hub names no reset; 100 pulls in
//	                                                        6 hours come back one every 216 s
func requestedWait(header http.Header, refused bool, now time.Time) time.Duration {
	if date, err := http.ParseTime(header.Get("Date")); err == nil {
		now = date // whose clock is wrong does not matter then
	}
	for _, name := range []string{"Retry-After", "X-Retry-After"} {
		if wait := parseWait(header.Get(name), now); wait > 0 {
			return wait
		}
	}
	if !refused && !exhausted(header) {
		return 0
	}
	for _, name := range rateLimitNames("Reset") {
		if wait := parseWait(header.Get(name), now); wait > 0 {
			return wait
		}
	}
	if wait := parseWait(parameter(header.Get("RateLimit"), "t", "reset"), now); wait > 0 {
		return wait
	}
	if refused {
		return refillInterval(header)
	}
	return 0
}

// rateLimitNames are the spellings of a header: the IETF's draft, the older custom, and a variant
// of that.
func rateLimitNames(what string) []string {
	return []string{"RateLimit-" + what, "X-RateLimit-" + what, "X-Rate-Limit-" + what}
}

// exhausted tells whether an answer says that no further request is free.
func exhausted(header http.Header) bool {
	for _, name := range rateLimitNames("Remaining") {
		if value, _, _ := strings.Cut(header.Get(name), ";"); strings.TrimSpace(value) == "0" {
			return true
		}
	}
	return parameter(header.Get("RateLimit"), "r", "remaining") == "0"
}

// refillInterval is the time in which one request becomes free again, on average, where only the
// window is known.
func refillInterval(header http.Header) time.Duration {
	for _, name := range rateLimitNames("Limit") {
		value := header.Get(name)
		allowed, _, _ := strings.Cut(value, ";")
		count, err := strconv.Atoi(strings.TrimSpace(allowed))
		window, failed := strconv.Atoi(parameter(value, "w"))
		if err == nil && failed == nil && count > 0 && window > 0 {
			return time.Duration(window) * time.Second / time.Duration(count)
		}
	}
	return 0
}

// parameter takes a value out of `"default";r=0;t=50` or "limit=100, remaining=0, reset=50".
func parameter(text string, names ...string) string {
	for _, field := range strings.FieldsFunc(text, func(r rune) bool { return r == ';' || r == ',' }) {
		key, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		for _, name := range names {
			if strings.EqualFold(key, name) {
				return strings.Trim(value, `" `)
			}
		}
	}
	return ""
}

// minUnixSeconds tells a number of seconds to wait from a point in time: 31 years from a date after
// 2001.
const minUnixSeconds = 1e9

// parseWait understands seconds, seconds or milliseconds since 1970, and an HTTP date. A number may
// carry parameters.
func parseWait(text string, now time.Time) time.Duration {
	if at, err := http.ParseTime(text); err == nil {
		return max(0, at.Sub(now))
	}
	number, _, _ := strings.Cut(text, ";")
	seconds, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	switch {
	case err != nil || !(seconds > 0):
		return 0
	case seconds >= minUnixSeconds*1000:
		return max(0, time.UnixMilli(int64(min(seconds, 1e15))).Sub(now))
	case seconds >= minUnixSeconds:
		return max(0, time.Unix(int64(seconds), 0).Sub(now))
	}
	return time.Duration(seconds * float64(time.Second))
}
