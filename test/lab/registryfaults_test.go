//go:build lab

package lab

import "testing"

// TestRegistryFaults: a registry whose password and certificate were changed is, after what Reset
// does, as it was.
func TestRegistryFaults(t *testing.T) {
	l := startRegistriesOnly(t)
	r := l.Registry("mirror")
	push(t, r, Image{})
	const url = "https://mirror.internal.example.com/v2/"
	user, password := r.Credentials()
	answers := func(what string, ca []byte, want int) {
		t.Helper()
		code, err := overTheWire(t, l, url, ca, user, password)
		if code != want || (err == nil) != (want != 0) {
			t.Errorf("%s: %d, %v; want %d", what, code, err, want)
		}
	}
	if err := l.Revoke(r); err != nil {
		t.Fatal(err)
	}
	answers("the password is revoked", l.PrivateCA(), 401)
	wantHas(t, r, reference, true) // who damages it has to be able to
	ca, err := l.Distrust(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	answers("the authority is another one", l.PrivateCA(), 0)
	answers("the new authority is known", ca, 401)
	wantHas(t, r, reference, true)
	if err := l.Grant(r); err != nil {
		t.Fatal(err)
	}
	answers("the password is granted again", ca, 200)

	if err := l.Revoke(r); err != nil {
		t.Fatal(err)
	}
	l.killAll()
	if err := l.restoreRegistries(); err != nil {
		t.Fatal(err)
	}
	if err := l.startRegistries(t.Context()); err != nil {
		t.Fatal(err)
	}
	answers("mended", l.PrivateCA(), 200)
}
