package mirror

import (
	"net/http"
	"testing"
	"time"
)

func TestRequestedWait(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	const date = "Wed, 21 Oct 2026 07:28:00 GMT" // the registry's clock, years behind ours
	cases := map[string]struct {
		header  []string
		refused bool
		want    time.Duration
	}{
		"nothing":              {nil, true, 0},
		"seconds":              {[]string{"Retry-After", "3"}, true, 3 * time.Second},
		"seconds at a success": {[]string{"Retry-After", "3"}, false, 3 * time.Second},
		"a fraction":           {[]string{"Retry-After", "0.5"}, true, 500 * time.Millisecond},
		"zero":                 {[]string{"Retry-After", "0"}, true, 0},
		"negative":             {[]string{"Retry-After", "-5"}, true, 0},
		"nonsense":             {[]string{"Retry-After", "soon"}, true, 0},
		"not a number":         {[]string{"Retry-After", "NaN"}, true, 0},
		"a date by its own clock": {[]string{"Retry-After", "Wed, 21 Oct 2026 07:28:30 GMT", "Date", date}, true,
			30 * time.Second},
		"a date by ours":         {[]string{"Retry-After", "Tue, 01 Jan 2030 00:01:00 GMT"}, true, time.Minute},
		"a date that has passed": {[]string{"Retry-After", "Mon, 31 Dec 2029 00:00:00 GMT"}, true, 0},
		"Docker Hub's time":      {[]string{"X-Retry-After", "1893456010"}, true, 10 * time.Second},
		"GitLab": {[]string{"RateLimit-Remaining", "0", "RateLimit-Reset", "1893456020"}, true,
			20 * time.Second},
		"a reset in seconds": {[]string{"RateLimit-Remaining", "0", "RateLimit-Reset", "50"}, false,
			50 * time.Second},
		"a reset in milliseconds": {[]string{"X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "1893456005000"},
			false, 5 * time.Second},
		"a reset, and some remain": {[]string{"X-RateLimit-Remaining", "7", "X-RateLimit-Reset", "50"}, false, 0},
		"refused though some remain": {[]string{"X-RateLimit-Remaining", "7", "X-RateLimit-Reset", "50"}, true,
			50 * time.Second},
		"a third spelling": {[]string{"X-Rate-Limit-Remaining", "0", "X-Rate-Limit-Reset", "9"}, false,
			9 * time.Second},
		"with a window": {[]string{"RateLimit-Remaining", "0;w=60", "RateLimit-Reset", "40;w=60"},
			false, 40 * time.Second},
		"one structured header": {[]string{"RateLimit", `"default";r=0;t=12`}, false, 12 * time.Second},
		"one structured header, older": {[]string{"RateLimit", "limit=100, remaining=0, reset=13"}, false,
			13 * time.Second},
		"one, and some remain": {[]string{"RateLimit", `"default";r=5;t=12`}, false, 0},
		"Docker Hub's window, refused": {[]string{"RateLimit-Limit", "100;w=21600", "RateLimit-Remaining",
			"0;w=21600"}, true, 216 * time.Second},
		"Docker Hub's window, the last": {[]string{"RateLimit-Limit", "100;w=21600", "RateLimit-Remaining",
			"0;w=21600"}, false, 0},
		"a window for nobody": {[]string{"RateLimit-Limit", "0;w=21600"}, true, 0},
		"Retry-After first": {[]string{"Retry-After", "3", "RateLimit-Remaining", "0", "RateLimit-Reset",
			"50"}, true, 3 * time.Second},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			header := http.Header{}
			for i := 0; i < len(tc.header); i += 2 {
				header.Set(tc.header[i], tc.header[i+1])
			}
			if got := requestedWait(header, tc.refused, now); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}
