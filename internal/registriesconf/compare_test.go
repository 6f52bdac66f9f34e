package registriesconf

import "testing"

// TestCompare speaks the language of attempts: "m" is a mirror, "s" the source, "!" marks a
// blocked and "~" an insecure endpoint.
func TestCompare(t *testing.T) {
	of := func(endpoints ...string) Resolution {
		var r Resolution
		for _, text := range endpoints {
			if text == "error" {
				return Resolution{Err: "no such reference"}
			}
			e := Endpoint{}
			for len(text) > 1 {
				e.Blocked, e.Insecure = e.Blocked || text[0] == '!', e.Insecure || text[0] == '~'
				text = text[1:]
			}
			e.Reference, e.Mirror = text, text != "s"
			r.Endpoints = append(r.Endpoints, e)
		}
		return r
	}
	cases := map[string]struct {
		before, after Resolution
		want          Change
	}{
		"nothing":                                  {of("s"), of("s"), Unchanged},
		"mirror in front":                          {of("s"), of("m", "s"), GainsMirror},
		"mirror in between":                        {of("a", "b", "s"), of("a", "c", "b", "s"), GainsMirror},
		"mirror and a new order":                   {of("a", "b", "s"), of("b", "a", "c", "s"), GainsMirror},
		"new order":                                {of("a", "b", "s"), of("b", "a", "s"), OrderChanged},
		"source first":                             {of("a", "s"), of("s", "a", "s"), OrderChanged},
		"source listed twice":                      {of("a", "s"), of("a", "s", "s"), Unchanged},
		"mirror listed twice":                      {of("a", "s"), of("a", "a", "s"), Unchanged},
		"mirror gone":                              {of("a", "b", "s"), of("b", "s"), LosesMirror},
		"mirror replaced":                          {of("a", "s"), of("b", "s"), LosesMirror},
		"mirror gone, order new":                   {of("a", "b", "c", "s"), of("c", "b", "s"), LosesMirror},
		"source blocked":                           {of("s"), of("!s"), NewlyBlocked},
		"source blocked behind a new mirror":       {of("s"), of("m", "!s"), NewlyBlocked},
		"mirror blocked":                           {of("m", "s"), of("!m", "s"), NewlyBlocked},
		"mirror blocked, another lost":             {of("m", "n", "s"), of("!m", "s"), NewlyBlocked},
		"source unblocked":                         {of("m", "!s"), of("m", "s"), Unblocked},
		"mirror unblocked":                         {of("!m", "s"), of("m", "s"), Unblocked},
		"mirror lost and source unblocked":         {of("m", "!s"), of("s"), LosesMirror},
		"mirror gained and source unblocked":       {of("m", "!s"), of("n", "m", "s"), GainsMirror},
		"order changed and source unblocked":       {of("m", "n", "!s"), of("n", "m", "s"), OrderChanged},
		"dead, now with a mirror":                  {of("!s"), of("m", "!s"), Unblocked},
		"dead before and after":                    {of("!s"), of("!m", "!s"), Unchanged},
		"dead before and after, by another reason": {of("!s"), of("error"), Unchanged},
		"a blocked mirror more":                    {of("s"), of("!m", "s"), Unchanged},
		"a blocked mirror less":                    {of("!m", "s"), of("s"), Unchanged},
		"rewrite fails":                            {of("s"), of("error"), RewriteError},
		"rewrite fails as before":                  {of("error"), of("error"), Unchanged},
		"rewrite works again":                      {of("error"), of("m", "s"), Unblocked},
		"rewrite no longer fails, all blocked":     {of("error"), of("!s"), Unchanged},
		"mirror no longer insecure":                {of("~m", "s"), of("m", "s"), LosesMirror},
		"mirror newly insecure":                    {of("m", "s"), of("~m", "s"), OrderChanged},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := Compare(tc.before, tc.after); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
			if got := Compare(tc.before, tc.before); got != Unchanged {
				t.Errorf("compared with itself: %s", got)
			}
			if tc.before.Equal(tc.after) && tc.want != Unchanged {
				t.Error("the resolutions are equal")
			}
		})
	}
}

func TestShadowedBy(t *testing.T) {
	site := idms("site", from("q.io", "d.io").with(never))
	cases := map[string]struct {
		before, after Sets
		ref           string
		want          string
	}{
		"a tag set below a digest set": {
			union(idms("site", from("q.io", "d.io"))),
			union(idms("site", from("q.io", "d.io")), itms("acme", from("q.io/app", "m.io"))),
			"q.io/app/x" + digest, "ImageTagMirrorSet/acme"},
		"its tags lose nothing": {
			union(idms("site", from("q.io", "d.io"))),
			union(idms("site", from("q.io", "d.io")), itms("acme", from("q.io/app", "m.io"))),
			"q.io/app/x:1", ""},
		"a block that is lifted": {union(site), union(site, itms("acme", from("q.io/app", "m.io"))), "q.io/app/x:1",
			"ImageTagMirrorSet/acme"},
		"outside of the scope": {union(site), union(site, itms("acme", from("q.io/app", "m.io"))), "q.io/other" +
			digest, ""},
		"a digest set below a tag set": {
			union(itms("acme", from("q.io", "m.io"))),
			union(itms("acme", from("q.io", "m.io")), idms("d", from("q.io/app", "d.io"))),
			"q.io/app/x:1", "ImageDigestMirrorSet/d"},
		"two owners": {
			union(site), union(site, itms("a", from("q.io/app", "m.io")), itms("b", from("q.io/app", "n.io"))),
			"q.io/app/x" + digest, "ImageTagMirrorSet/a, ImageTagMirrorSet/b"},
		"a narrower set that repeats the mirror": {
			union(idms("site", from("q.io", "d.io"))),
			union(idms("site", from("q.io", "d.io")), idms("app", from("q.io/app", "d.io/app")),
				itms("acme", from("q.io/app", "m.io"))),
			"q.io/app/x" + digest, ""},
		"an insecure scope inherits": {union(itms("i", from("q.io", "m.io"))),
			union(itms("i", from("q.io", "m.io"))).insecure("q.io/dev"), "q.io/dev/x:1", ""},
		"an insecure scope drops the block": {
			union(itms("i", from("q.io", "m.io").with(never))),
			union(itms("i", from("q.io", "m.io").with(never))).insecure("q.io/dev"),
			"q.io/dev/x:1", "Image/cluster"},
		"an insecure scope inherits from another parent": {
			union(itms("i", from("q.io", "m.io"), from("q.io/a", "n.io"))),
			union(itms("i", from("q.io", "m.io"), from("q.io/a", "n.io"))).insecure("q.io/a/b"),
			"q.io/a/b/x:1", "Image/cluster"},
		"no scope before": {union(), union(site), "q.io/x:1", ""},
		"the same scope": {union(idms("site", from("q.io", "d.io"))), union(idms("site", from("q.io", "e.io"))),
			"q.io/x" + digest, ""},
		"back again": {union(site, itms("acme", from("q.io/app", "m.io"))), union(site), "q.io/app/x:1", ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			before, after := resolved(t, configOf(t, tc.before), tc.ref), resolved(t, configOf(t, tc.after), tc.ref)
			if got := ShadowedBy(tc.after, before, after); got != tc.want {
				t.Errorf("got %q, want %q (%v -> %v)", got, tc.want, attempts(before), attempts(after))
			}
		})
	}
	t.Run("by a drop-in", func(t *testing.T) {
		s := union(idms("site", from("q.io", "d.io")))
		before := resolved(t, configOf(t, s), "q.io/app/x"+digest)
		after := resolved(t, parsed(t, "[[registry]]\nlocation='q.io/app'"), "q.io/app/x"+digest)
		if got := ShadowedBy(s, before, after); got != "" {
			t.Errorf("got %q for an entry no object made", got)
		}
	})
}
