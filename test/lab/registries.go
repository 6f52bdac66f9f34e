package lab

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"time"

	"golang.org/x/crypto/bcrypt"
	"sigs.k8s.io/yaml"
)

// PublicHosts are the names of the public registry. It serves all of them from one storage: what is
// pushed to quay.io/acme/router can be pulled as registry.redhat.io/acme/router as well.
func PublicHosts() []string {
	return []string{"quay.io", "registry.redhat.io", "registry-1.docker.io", "docker.io", "gcr.io", "registry.k8s.io"}
}

// MirrorHosts are the names of the mirror registry. Its certificate is signed by the private
// authority, and it asks for a password unless Options.OpenMirror.
func MirrorHosts() []string { return []string{"mirror.internal.example.com"} }

// SecondHosts are the names of a second mirror registry, in all like the first but apart from it.
func SecondHosts() []string { return []string{"second.internal.example.com"} }

// makeRegistries prepares the three registries: ports, certificates, passwords, configuration,
// routes.
func (l *Lab) makeRegistries() error {
	for _, spec := range []struct {
		name   string
		hosts  []string
		ca     *authority
		locked bool
	}{
		{"public", PublicHosts(), l.publicCA, false},
		{"mirror", MirrorHosts(), l.privateCA, !l.options.OpenMirror},
		{"second", SecondHosts(), l.privateCA, !l.options.OpenMirror},
	} {
		r, err := l.newRegistry(spec.name, spec.hosts, spec.ca, spec.locked)
		if err != nil {
			return fmt.Errorf("registry %s: %w", spec.name, err)
		}
		l.registries = append(l.registries, r)
	}
	return nil
}

func (l *Lab) newRegistry(name string, hosts []string, ca *authority, locked bool) (*Registry, error) {
	port, err := l.ports.take()
	if err != nil {
		return nil, err
	}
	r := &Registry{Name: name, Hosts: hosts, address: loopback(port), storage: l.path("registry", name), ca: ca.PEM}
	if locked {
		r.user, r.password = "lab", randomHex()
	}
	for _, host := range hosts {
		l.wire.route(host, r.address)
	}
	if err := os.MkdirAll(r.storage, 0o755); err != nil {
		return nil, err
	}
	cert, key := l.certFiles(r)
	if err := ca.issue(cert, key, hosts...); err != nil {
		return nil, err
	}
	config := r.config(cert, key)
	if locked {
		passwords := l.passwordFile(r)
		if err := r.writePasswords(passwords); err != nil {
			return nil, err
		}
		config["auth"] = map[string]any{"htpasswd": map[string]any{"realm": name, "path": passwords}}
	}
	data, err := yaml.Marshal(config)
	if err != nil {
		return nil, err
	}
	return r, os.WriteFile(l.registryConfigFile(r), data, 0o600)
}

// config is the registry's configuration. There is no cache section on purpose: the registry then
// looks at the disk for every request, so that content a scenario deletes there is gone at once.
func (r *Registry) config(cert, key string) map[string]any {
	return map[string]any{
		"version": 0.1,
		"log":     map[string]any{"level": "error", "accesslog": map[string]any{"disabled": true}},
		"storage": map[string]any{
			"filesystem":  map[string]any{"rootdirectory": r.storage},
			"delete":      map[string]any{"enabled": true},
			"maintenance": map[string]any{"uploadpurging": map[string]any{"enabled": false}},
		},
		"http": map[string]any{
			"addr":   r.address,
			"secret": randomHex(),
			"tls":    map[string]any{"certificate": cert, "key": key},
		},
	}
}

// writePasswords uses the cheapest hash the registry takes: it checks the password on every
// request.
func (r *Registry) writePasswords(file string) error {
	hash, err := bcrypt.GenerateFromPassword([]byte(r.password), bcrypt.MinCost)
	if err != nil {
		return err
	}
	return os.WriteFile(file, fmt.Appendf(nil, "%s:%s\n", r.user, hash), 0o600)
}

func (l *Lab) registryConfigFile(r *Registry) string {
	return l.path("certs", r.Name+"-registry.yaml")
}

func (l *Lab) registryCommand(r *Registry) *exec.Cmd {
	cmd := l.part("registry", "serve", l.registryConfigFile(r))
	cmd.Env = append(cmd.Env, "OTEL_TRACES_EXPORTER=none") // else it looks for a collector on the loopback
	return cmd
}

func (r *Registry) waitListening(ctx context.Context) error {
	return Eventually(ctx, time.Minute, "the registry "+r.Name+" does not listen",
		func(context.Context) (bool, string, error) {
			conn, err := net.Dial("tcp", r.address)
			if err != nil {
				return false, err.Error(), nil
			}
			conn.Close()
			return true, "", nil
		})
}
