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

// Lab is a running cluster. Its methods may be called from several goroutines, except Reset and
// Stop, which nothing else may overlap.
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

	mu             sync.Mutex
	parts          []*Process // what Start started, in that order
	extraProcesses []*Process // what Run started
	killCount      int        // how often both lists were emptied by killAll
	restarts       sync.Mutex // held while a part is started again

	deaths     chan *Process // parts that ended by themselves
	nodesBegan time.Time     // when the nodes' process was last started
	logMu      sync.Mutex
	stop       sync.Once
}

// Start brings a cluster up and returns when it is in its initial state: every node Ready and both
// pools updated. Reset restores that state. On an error nothing is left behind.
func Start(ctx context.Context, o Options) (*Lab, error) {
	l := newLab(o)
	err := l.prepare()
	if err == nil {
		err = l.runSteps(ctx, l.startPlan())
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
		{"initial state", l.waitInitialState},
		{"snapshot", l.takeSnapshot},
	}
}

// Stop kills everything the lab runs and removes its directory, unless that was given in the
// Options. It may be called more than once.
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

// PublicCA is the certificate of the authority that signed the public registry's: it stands for the
// web's.
func (l *Lab) PublicCA() []byte { return l.publicCA.PEM }

// PrivateCA is the certificate of the authority that signed the mirrors': the cluster's
// image.config trusts it, and nothing else does.
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
