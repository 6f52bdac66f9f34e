package lab

import (
	"context"
	"fmt"
)

// What a registry's owner can do to those who depend on it. Reset undoes all of it.

// Revoke makes the registry refuse the password that the cluster's pull secret holds, from the next
// request on. Scenarios that fill the registry know the new one.
func (l *Lab) Revoke(r *Registry) error {
	if r.user == "" {
		return fmt.Errorf("the registry %s asks for no password", r.Name)
	}
	if r.granted == "" {
		r.granted = r.password
	}
	r.password = randomHex()
	return r.writePasswords(l.passwordFile(r))
}

// Grant takes the Revoke back.
func (l *Lab) Grant(r *Registry) error {
	if r.granted == "" {
		return nil
	}
	r.password, r.granted = r.granted, ""
	return r.writePasswords(l.passwordFile(r))
}

// Distrust gives the registry a certificate of an authority that nobody trusts, and returns the
// authority's certificate: who puts it into the cluster's image.config can pull again.
func (l *Lab) Distrust(ctx context.Context, r *Registry) (ca []byte, err error) {
	a, err := newAuthority("lab unknown CA")
	if err != nil {
		return nil, err
	}
	return a.PEM, l.certify(ctx, r, a)
}

// certify lets the registry serve with a new certificate. It reads it at its start only.
func (l *Lab) certify(ctx context.Context, r *Registry, a *authority) error {
	cert, key := l.certFiles(r)
	if err := a.issue(cert, key, r.Hosts...); err != nil {
		return err
	}
	r.ca, r.distrusted = a.PEM, a != l.authorityOf(r)
	return l.restartRegistry(ctx, r)
}

func (l *Lab) authorityOf(r *Registry) *authority {
	if r.Name == "public" {
		return l.publicCA
	}
	return l.privateCA
}

// restartRegistry ends the registry's process and starts it again. It is taken off the list of
// parts first: it does not die, it is stopped.
func (l *Lab) restartRegistry(ctx context.Context, r *Registry) error {
	name := "registry-" + r.Name
	for _, p := range l.Parts() {
		if p.Name != name {
			continue
		}
		if found, _ := l.removePart(p); found {
			p.Kill()
		}
	}
	if err := l.startPart(name, l.registryCommand(r)); err != nil {
		return err
	}
	return r.waitListening(ctx)
}

// restoreRegistries undoes what was done to the registries' certificates and passwords. None of
// them runs meanwhile.
func (l *Lab) restoreRegistries() error {
	for _, r := range l.registries {
		if err := l.Grant(r); err != nil {
			return err
		}
		if !r.distrusted {
			continue
		}
		a := l.authorityOf(r)
		cert, key := l.certFiles(r)
		if err := a.issue(cert, key, r.Hosts...); err != nil {
			return err
		}
		r.ca, r.distrusted = a.PEM, false
	}
	return nil
}

func (l *Lab) certFiles(r *Registry) (cert, key string) {
	return l.path("certs", r.Name+".crt"), l.path("certs", r.Name+".key")
}

func (l *Lab) passwordFile(r *Registry) string { return l.path("certs", r.Name+".htpasswd") }
