package pull

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/containers/image/v5/signature"
	"github.com/containers/image/v5/types"
	crierrors "k8s.io/cri-api/pkg/errors"

	"github.com/safe-mirror/safe-mirror-operator/test/lab/parts/internal/nodefs"
)

// Request asks for one image, on behalf of a container or of nobody.
type Request struct {
	Reference string // as the pod spells it
	Namespace string
	Pod       string
	Container string
	Policy    string
	// Username and Password are what the kubelet found for the source. The library uses them for
	// the host of the source only; a mirror elsewhere gets what the node's auth file has for it.
	Username string
	Password string
}

// Runtime is the image part of one node's CRI-O.
type Runtime struct {
	root, node string
	log        *Log
	store      *store
	reloads    reloads

	mu       sync.Mutex
	inFlight map[key]*operation
}

// New opens the runtime of a node on its file system under root.
func New(root, node string, log *Log) (*Runtime, error) {
	s, err := openStore(nodefs.Images(root, node))
	if err != nil {
		return nil, err
	}
	return &Runtime{
		root: root, node: node, log: log, store: s,
		reloads:  reloads{root: root, node: node},
		inFlight: map[key]*operation{},
	}, nil
}

// Reload takes note of a reload by the daemon. It is called several times a second, because
// a reload that is noticed late would snapshot files that the next update has touched already.
// It returns ErrNotLoaded until there was a first one.
func (r *Runtime) Reload() error {
	_, err := r.reloads.currentConfig()
	return err
}

// Images lists the stored images.
func (r *Runtime) Images() []Image { return r.store.list() }

// Present looks an image up by name, as IfNotPresent and Never do.
func (r *Runtime) Present(name string) (Image, bool, error) {
	loaded, err := r.reloads.currentConfig()
	if err != nil {
		return Image{}, false, err
	}
	names, err := candidates(r.system(loaded, Request{}), name)
	if err != nil {
		return Image{}, false, err
	}
	for _, candidate := range names {
		if image, ok := r.store.find(candidate); ok {
			return image, true, nil
		}
	}
	return Image{}, false, nil
}

// Pull pulls an image and logs that it did. Requests for the same image that come while it is
// being pulled wait for that pull.
func (r *Runtime) Pull(ctx context.Context, request Request) (Image, error) {
	start := time.Now()
	op, shared := r.join(request)
	done := r.await(ctx, op)
	record := r.record(start, request, done)
	if shared {
		record.Shared, record.Bytes = true, 0
	}
	r.log.Write(record)
	return done.image, done.err
}

// await returns what the pull came to. A pull that is given up is waited for if nobody else
// wants it, so that the log can say which endpoint it was stuck at.
func (r *Runtime) await(ctx context.Context, op *operation) outcome {
	select {
	case <-op.done:
		r.leave(op)
		return op.outcome
	case <-ctx.Done():
	}
	if !r.leave(op) {
		return outcome{err: ctx.Err()}
	}
	<-op.done
	return op.outcome
}

// Used logs that a container found its image present and that no registry was asked.
func (r *Runtime) Used(request Request, image Image) {
	done := outcome{image: image}
	if loaded, err := r.reloads.currentConfig(); err == nil {
		done.config = loaded.name
	}
	if len(image.Digests) > 0 {
		done.digest = image.Digests[len(image.Digests)-1].String()
	}
	record := r.record(time.Now(), request, done)
	record.Cached = true
	r.log.Write(record)
}

func (r *Runtime) record(start time.Time, request Request, done outcome) Record {
	record := Record{
		Time: start.UTC(), Node: r.node, Config: done.config,
		Namespace: request.Namespace, Pod: request.Pod, Container: request.Container,
		Reference: request.Reference, Policy: request.Policy,
		Endpoint: done.endpoint, Tried: done.tried, Bytes: done.bytes, Digest: done.digest,
		Duration: time.Since(start).Milliseconds(),
	}
	if done.err != nil {
		record.Error = done.err.Error()
	}
	return record
}

// outcome is what a pull came to.
type outcome struct {
	image    Image
	config   string
	endpoint string
	tried    []string
	bytes    int64
	digest   string
	err      error
}

// pull tries each candidate; the error of the last one counts.
func (r *Runtime) pull(ctx context.Context, request Request) (done outcome) {
	loaded, err := r.reloads.currentConfig()
	if err != nil {
		return outcome{err: err}
	}
	done.config = loaded.name
	sys := r.system(loaded, request)
	names, err := candidates(sys, request.Reference)
	if err != nil {
		done.err = err
		return done
	}
	for _, name := range names {
		a := &attempt{name: name, sys: sys, dest: newDestination(name, r.store)}
		done.err = a.run(ctx)
		done.endpoint, done.tried = a.endpoint, append(done.tried, a.tried...)
		done.bytes += a.dest.bytes.Load()
		if done.err == nil {
			done.digest = a.dest.top.String()
			done.image, done.err = r.store.add(a.dest.image())
			return done
		}
	}
	done.err = r.withNodePaths(loaded, forKubelet(done.err))
	return done
}

// nodePathError is an error in the words of the node: its own paths instead of those of the lab.
type nodePathError struct {
	error
	text string
}

func (e nodePathError) Error() string { return e.text }
func (e nodePathError) Unwrap() error { return e.error }

// withNodePaths makes "blocked in /tmp/lab/w1/run/crio/2/registries.conf" say "blocked in
// /etc/containers/registries.conf", which is what readers of events look for.
func (r *Runtime) withNodePaths(loaded configuration, err error) error {
	text := strings.ReplaceAll(err.Error(), loaded.dir+"/", "/etc/containers/")
	return nodePathError{err, strings.ReplaceAll(text, nodefs.Dir(r.root, r.node)+"/", "/")}
}

// forKubelet marks the two kinds of failure that CRI-O tells the kubelet apart. Only the last
// endpoint counts: a mirror that refuses connections is text in the message, not an error.
func forKubelet(err error) error {
	var rejected signature.PolicyRequirementError
	var invalid signature.InvalidSignatureError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w: %w", crierrors.ErrRegistryUnavailable, err)
	case errors.As(err, &rejected), errors.As(err, &invalid):
		return fmt.Errorf("%w: %w", crierrors.ErrSignatureValidationFailed, err)
	default:
		return err
	}
}

// system is the SystemContext of CRI-O on an OpenShift node.
func (r *Runtime) system(loaded configuration, request Request) *types.SystemContext {
	disabled := types.ShortNameModeDisabled
	sys := &types.SystemContext{
		SystemRegistriesConfPath:    loaded.registries(),
		SystemRegistriesConfDirPath: loaded.registriesDir(),
		UserShortNameAliasConfPath:  loaded.aliases(),
		ShortNameMode:               &disabled,
		SignaturePolicyPath:         r.policyPath(request.Namespace),
		RegistriesDirPath:           nodefs.LookasideDir(r.root, r.node),
		AuthFilePath:                nodefs.AuthFile(r.root, r.node),
		DockerPerHostCertDirPath:    nodefs.CertsDir(r.root, r.node),
		ArchitectureChoice:          "amd64",
		OSChoice:                    "linux",
		DockerRegistryUserAgent:     "cri-o/1.33.0 go/lab os/linux arch/amd64",
		DockerLogMirrorChoice:       true,
	}
	if request.Username != "" {
		sys.DockerAuthConfig = &types.DockerAuthConfig{Username: request.Username, Password: request.Password}
	}
	return sys
}

// policyPath prefers the policy of an ImagePolicy in the pod's namespace.
func (r *Runtime) policyPath(namespace string) string {
	own := filepath.Join(nodefs.Dir(r.root, r.node), "etc/crio/policies", namespace+".json")
	if namespace != "" {
		if _, err := os.Stat(own); err == nil {
			return own
		}
	}
	return nodefs.Policy(r.root, r.node)
}
