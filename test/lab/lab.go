package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
)

// Lab is a running cluster. Its methods may be called from several goroutines, except Reset and Stop,
// which nothing else may overlap.
type Lab struct {
	options Options
	dir     string
	binDir  string
	sources sources
	lock    *os.File

	ports                                    ports
	etcdPort, etcdPeerPort, apiPort, mccPort int

	publicCA, privateCA, apiCA *authority

	spawner    *spawner
	wire       *Wire
	registries []*Registry

	config  *rest.Config
	kube    kubernetes.Interface
	dynamic dynamic.Interface
	mapper  *restmapper.DeferredDiscoveryRESTMapper

	mu     sync.Mutex
	parts  []*Process // what Start started, in that order
	guests []*Process // what Run started

	deaths chan *Process // parts that ended by themselves

	nodesBegan time.Time // when the nodes' process was last started

	stop sync.Once
}

// Start brings a cluster up and returns when it is in its initial state: every node Ready and both pools
// updated. That state is also what Reset goes back to. On an error nothing is left behind.
func Start(ctx context.Context, o Options) (*Lab, error) {
	l := newLab(o)
	err := l.prepare()
	if err == nil {
		err = l.follow(ctx, l.startPlan())
	}
	if err != nil {
		l.Stop()
		return nil, fmt.Errorf("lab: %w", err)
	}
	return l, nil
}

func newLab(o Options) *Lab {
	return &Lab{options: o.withDefaults(), spawner: newSpawner(), wire: newWire(), deaths: make(chan *Process, 16)}
}

func (l *Lab) startPlan() []step {
	if l.options.APIOnly {
		return []step{
			{"etcd and API server", l.startAPI},
			{"CRDs", l.createCRDs},
			{"snapshot", l.takeSnapshot},
		}
	}
	return []step{
		{"registries", l.startRegistries},
		{"etcd and API server", l.startAPI},
		{"CRDs", l.createCRDs},
		{"configuration objects", l.createObjects},
		{"controllers", l.startControllers},
		{"rendered configs", l.waitRendered},
		{"nodes", l.createNodes},
		{"initial state", l.waitSettled},
		{"snapshot", l.takeSnapshot},
	}
}

// Stop kills everything the lab runs and removes its directory, unless that was given in the Options.
// It may be called more than once.
func (l *Lab) Stop() {
	l.stop.Do(func() {
		l.killAll()
		l.spawner.close()
		l.wire.close()
		l.ports.release()
		if l.options.Dir == "" && l.dir != "" {
			os.RemoveAll(l.dir)
		}
		if l.lock != nil {
			l.lock.Close()
		}
	})
}

// Wire is the network between the lab's processes and its registries.
func (l *Lab) Wire() *Wire { return l.wire }

// Dir is the directory everything lives in; logs are under logs.
func (l *Lab) Dir() string { return l.dir }

// PublicCA is the certificate of the authority that stands for the web's; PrivateCA of the one that only
// the cluster's image.config trusts.
func (l *Lab) PublicCA() []byte { return l.publicCA.PEM }

// PrivateCA: see PublicCA.
func (l *Lab) PrivateCA() []byte { return l.privateCA.PEM }

// Parts are the lab's own processes, in the order they were started.
func (l *Lab) Parts() []*Process {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]*Process(nil), l.parts...)
}

func (l *Lab) path(elements ...string) string {
	return filepath.Join(append([]string{l.dir}, elements...)...)
}

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
		sweep()
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

// step is one stage of a start or a reset.
type step struct {
	name string
	do   func(context.Context) error
}

// follow does the steps one after the other. A part that ends meanwhile ends the step: waiting two
// minutes for an API server that is dead helps nobody.
func (l *Lab) follow(ctx context.Context, steps []step) error {
	for _, s := range steps {
		begun := time.Now()
		if err := l.whileAlive(ctx, s.do); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		l.logf("%-22s %5.1fs", s.name, time.Since(begun).Seconds())
	}
	return nil
}

func (l *Lab) whileAlive(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case p := <-l.deaths:
			cancel(p.failure())
		case <-ctx.Done():
		}
	}()
	err := do(ctx)
	if cause := context.Cause(ctx); err != nil && cause != ctx.Err() {
		return cause // a death explains more than the waiting it ended
	}
	return err
}

func (l *Lab) logf(format string, args ...any) {
	fmt.Fprintf(l.options.Log, "lab: "+format+"\n", args...)
}
