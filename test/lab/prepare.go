package lab

import (
	"fmt"
	"os"
	"path/filepath"
)

// prepare makes everything that needs no running process.
func (l *Lab) prepare() (err error) {
	if l.binDir, err = findBinDir(l.options); err != nil {
		return err
	}
	if l.sources, err = findSources(l.binDir); err != nil {
		return err
	}
	for _, do := range []func() error{
		l.wire.open, l.makeDirs, l.makePorts, l.makeCerts, l.writeIdentities, l.makeRegistries, l.makeClients,
	} {
		if err := do(); err != nil {
			return err
		}
	}
	return nil
}

func (l *Lab) makeDirs() (err error) {
	if l.options.Dir == "" {
		removeStaleDirs()
		l.dir, err = os.MkdirTemp("", tempPattern)
	} else {
		l.dir, err = filepath.Abs(l.options.Dir)
	}
	if err != nil {
		return err
	}
	if _, err := os.Stat(l.path("etcd")); err == nil {
		return fmt.Errorf("%s holds a lab already", l.dir)
	}
	for _, name := range []string{"certs", "kubeconfigs", "logs", "node", "registry"} {
		if err := os.MkdirAll(l.path(name), 0o755); err != nil {
			return err
		}
	}
	if err := os.Mkdir(l.path("etcd"), 0o700); err != nil { // etcd insists on the mode
		return err
	}
	return l.lockDir()
}

func (l *Lab) makePorts() error {
	for _, port := range []*int{&l.etcdPort, &l.etcdPeerPort, &l.apiPort, &l.mccPort} {
		var err error
		if *port, err = l.ports.take(); err != nil {
			return err
		}
	}
	return nil
}

func (l *Lab) makeCerts() (err error) {
	for _, a := range []struct {
		name, file string
		authority  **authority
	}{
		{"lab public CA", "public-ca.crt", &l.publicCA},
		{"lab private CA", "private-ca.crt", &l.privateCA},
		{"lab API CA", "api-ca.crt", &l.apiCA},
	} {
		if *a.authority, err = newAuthority(a.name); err != nil {
			return err
		}
		if err := os.WriteFile(l.path("certs", a.file), (*a.authority).PEM, 0o644); err != nil {
			return err
		}
	}
	if err := writeNewKey(l.path("certs", "tokens.key")); err != nil {
		return err
	}
	if err := os.WriteFile(l.path("certs", "audit-policy.yaml"), []byte(auditPolicy), 0o644); err != nil {
		return err
	}
	return l.apiCA.issue(l.path("certs", "api.crt"), l.path("certs", "api.key"), "localhost", "kubernetes.default.svc")
}
