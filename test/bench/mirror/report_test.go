package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// rounds makes samples out of cold wall seconds; everything else follows from them.
func rounds(name string, requests int, uploaded int64, peak float64, walls ...float64) toolSamples {
	t := toolSamples{tool: tool{name: name}}
	for _, wall := range walls {
		s := sample{}
		s.cold.wall = time.Duration(wall * float64(time.Second))
		s.warm.wall = s.cold.wall / 10
		s.cold.source, s.cold.target = counts{"GET": requests / 2}, counts{"PUT": requests / 2}
		s.cold.uploaded, s.cold.peak = uploaded, int64(peak*(1<<20))
		t.samples = append(t.samples, s)
	}
	return t
}

func failedRound(t toolSamples) toolSamples {
	t.samples[1].failed = errors.New("1 of 60 images are missing")
	return t
}

func corpusA() *corpus {
	return &corpus{corpusSpec: corpusSpec{name: "A", title: "a few"}, unique: 1000, blobs: 3}
}

func TestResultLine(t *testing.T) {
	for name, c := range map[string]struct {
		series []measurements
		want   []string
	}{
		"medians, the best peer, and the highest peak": {
			[]measurements{
				{link: shaped, corpus: corpusA(), tools: []toolSamples{
					rounds(safeMirrorName, 600, 1015, 80, 4, 9, 5), rounds("crane", 900, 3000, 20, 30, 20, 20),
					rounds("regctl", 1000, 3000, 20, 10, 11, 500), rounds("regsync", 1200, 3000, 20, 25, 25, 25),
				}},
				{link: loopback, corpus: corpusA(),
					tools: []toolSamples{rounds(safeMirrorName, 600, 0, 90, 3, 3, 3),
						rounds("crane", 900, 0, 20, 4, 4, 4)}},
			},
			[]string{
				"LOOPBACK wall_vs_best=0.75 best=crane",
				"RESULT wall_vs_best=0.45 bytes_vs_unique=1.01 requests_vs_regclient=0.60 warm_vs_regsync=0.20 peak_mib=80.00",
			},
		},
		"a peer that failed once is no peer": {
			[]measurements{{link: shaped, corpus: corpusA(), tools: []toolSamples{
				rounds(safeMirrorName, 600, 1000, 80, 5, 5, 5), failedRound(rounds("crane", 900, 3000, 20, 1, 1, 1)),
				rounds("skopeo", 900, 3000, 20, 20, 20, 20),
			}}},
			[]string{
				"LOOPBACK wall_vs_best=n/a",
				"RESULT wall_vs_best=0.25 bytes_vs_unique=1.00 requests_vs_regclient=n/a warm_vs_regsync=n/a peak_mib=80.00",
			},
		},
		"our own failure gives no figures": {
			[]measurements{{link: shaped, corpus: corpusA(), tools: []toolSamples{
				failedRound(rounds(safeMirrorName, 600, 1000, 80, 5, 5, 5)), rounds("regctl", 900, 3000, 20, 1, 1, 1),
			}}},
			[]string{
				"LOOPBACK wall_vs_best=n/a",
				"RESULT wall_vs_best=n/a bytes_vs_unique=n/a requests_vs_regclient=n/a warm_vs_regsync=n/a peak_mib=n/a",
			},
		},
		"nobody to compare with": {
			[]measurements{{link: shaped, corpus: corpusA(),
				tools: []toolSamples{rounds(safeMirrorName, 600, 1000, 80, 5)}}},
			[]string{
				"LOOPBACK wall_vs_best=n/a",
				"RESULT wall_vs_best=n/a bytes_vs_unique=1.00 requests_vs_regclient=n/a warm_vs_regsync=n/a peak_mib=80.00",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, report{series: c.series}.resultLines()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestTargetsSayWhatIsMissed(t *testing.T) {
	r := report{series: []measurements{{link: shaped, corpus: corpusA(), tools: []toolSamples{
		rounds(safeMirrorName, 601, 1021, 151, 5.1), rounds("regctl", 1000, 3000, 20, 10),
		rounds("regsync", 1000, 3000, 20, 25.5),
	}}}}
	want := []string{"**MISSED**", "not measured", "**MISSED**", "met", "met", "**MISSED**"}
	var got []string
	for _, row := range r.targets()[1:] {
		got = append(got, row[3])
	}
	// 601 requests are counted as 300 at each side: 0.60 exactly, and a limit is met at the limit.
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("verdicts (-want +got):\n%s\n%s", diff, r.targets())
	}
}

func TestReportNamesAFailedToolAndItsReason(t *testing.T) {
	r := report{rounds: 3, series: []measurements{{link: shaped, corpus: corpusA(),
		tools: []toolSamples{failedRound(rounds("crane", 900, 3000, 20, 1, 1, 1))}}}}
	if text := r.markdown(); !strings.Contains(text, "| crane | failed: 1 of 60 images are missing |") {
		t.Errorf("the failure is not in the report:\n%s", text)
	}
}

// A slow run is a result; a wrong one of ours is an error, one of a peer is not.
func TestOnlyOurOwnFailureIsAnError(t *testing.T) {
	ours, peer := rounds(safeMirrorName, 600, 1000, 80, 5, 5, 5), rounds("crane", 900, 3000, 20, 1, 1, 1)
	if err := (report{series: []measurements{{link: shaped, corpus: corpusA(),
		tools: []toolSamples{ours, failedRound(peer)}}}}).ourFailure(); err != nil {
		t.Errorf("a peer's failure: %v", err)
	}
	err := report{series: []measurements{{link: shaped, corpus: corpusA(),
		tools: []toolSamples{failedRound(ours), peer}}}}.ourFailure()
	const want = "safe-mirror failed on the shaped link with corpus A: 1 of 60 images are missing"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want: %s", err, want)
	}
}

func TestMedian(t *testing.T) {
	for name, c := range map[string]struct {
		values []float64
		want   float64
	}{
		"one":                  {[]float64{7}, 7},
		"three":                {[]float64{9, 1, 5}, 5},
		"the lower one of two": {[]float64{4, 2}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			if got := median(c.values); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestOrderAlternates(t *testing.T) {
	want := [][]int{{0, 1, 2, 3}, {0, 3, 2, 1}, {2, 3, 0, 1}, {2, 1, 0, 3}}
	var got [][]int
	for round := range 4 {
		got = append(got, order(4, round))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParseRequests(t *testing.T) {
	const metrics = `# HELP registry_http_requests_total Total number of HTTP requests made.
# TYPE registry_http_requests_total counter
registry_http_requests_total{code="200",handler="base",method="get"} 2
registry_http_requests_total{code="200",handler="blob",method="get"} 1.5e+03
registry_http_requests_total{code="404",handler="blob",method="head"} 7
registry_http_requests_total{code="202",handler="blob_upload",method="post"} 30
registry_http_request_size_bytes_sum{handler="blob"} 99
`
	got, err := parseRequests(strings.NewReader(metrics))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(counts{"GET": 1502, "HEAD": 7, "POST": 30}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(counts{"GET": 2}, got.minus(counts{"GET": 1500, "HEAD": 7, "POST": 30})); diff != "" {
		t.Errorf("difference (-want +got):\n%s", diff)
	}
}

func TestReplaceGenerated(t *testing.T) {
	file := filepath.Join(t.TempDir(), "performance.md")
	for name, c := range map[string]struct{ before, want string }{
		"between the marks": {"above\n" + beginGenerated + "old\n" + endGenerated + "below\n", "above\n" +
			beginGenerated + "\nnew\n" + endGenerated + "below\n"},
		"no marks":       {"above\n", ""},
		"only the first": {"above\n" + beginGenerated, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(file, []byte(c.before), 0o600); err != nil {
				t.Fatal(err)
			}
			err := replaceGenerated(file, "new")
			after, readErr := os.ReadFile(file)
			if readErr != nil {
				t.Fatal(readErr)
			}
			if c.want == "" {
				if err == nil || string(after) != c.before {
					t.Errorf("want an error and the file as it was; got %v and:\n%s", err, after)
				}
				return
			}
			if diff := cmp.Diff(c.want, string(after)); diff != "" || err != nil {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}
