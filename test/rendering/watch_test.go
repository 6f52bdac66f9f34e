//go:build lab

package rendering

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/google/go-cmp/cmp"
	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
	"github.com/safe-mirror/safe-mirror-operator/test/lab"
)

// noFile is the content of a file that is not there.
const noFile = "(no file)"

// registriesWatcher knows every registries.conf that the controller has written for one pool.
type registriesWatcher struct {
	pool   string
	events <-chan watch.Event
	text   string   // the last one
	seen   []string // all since forget
}

func follow(ctx context.Context, c client.WithWatch, pool string) (*registriesWatcher, error) {
	// A watch without a version begins with the object as it is.
	only := client.MatchingFieldsSelector{Selector: fields.OneTermEqualSelector("metadata.name", "99-"+pool+
		"-generated-registries")}
	w, err := c.Watch(ctx, &mcfgv1.MachineConfigList{}, only)
	if err != nil {
		return nil, err
	}
	return &registriesWatcher{pool: pool, events: w.ResultChan()}, nil
}

func (f *registriesWatcher) reset() { f.seen = nil }

// await returns when the last content is the one wanted.
func (f *registriesWatcher) await(ctx context.Context, want string) error {
	for f.text != want {
		select {
		case event, open := <-f.events:
			if !open {
				return errors.New("the watch of the MachineConfig has ended")
			}
			if err := f.handle(event); err != nil {
				return err
			}
		case <-ctx.Done():
			return fmt.Errorf("pool %s: registries.conf is not as predicted (-predicted +actual):\n%s\npredicted:\n%s\nactual:\n%s",
				f.pool, cmp.Diff(want, f.text), want, f.text)
		}
	}
	return nil
}

// readPending takes what has been written up to now.
func (f *registriesWatcher) readPending() error {
	for {
		select {
		case event, open := <-f.events:
			if !open {
				return errors.New("the watch of the MachineConfig has ended")
			}
			if err := f.handle(event); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

func (f *registriesWatcher) handle(event watch.Event) error {
	if event.Type == watch.Error {
		return apierrors.FromObject(event.Object)
	}
	mc, ok := event.Object.(*mcfgv1.MachineConfig)
	if !ok || event.Type == watch.Deleted {
		return fmt.Errorf("pool %s: unexpected %s of a %T", f.pool, event.Type, event.Object)
	}
	files, err := registriesconf.FromMachineConfig(mc)
	if err != nil {
		return err
	}
	f.text = noFile
	if files.Main != nil {
		f.text = string(files.Main)
	}
	f.seen = append(f.seen, f.text)
	return nil
}

// controllerLog is the controller's log: the only place where it says that it refuses a union.
type controllerLog struct {
	file   string
	offset int64
}

func openControllerLog(l *lab.Lab) (*controllerLog, error) {
	for _, p := range l.Parts() {
		if p.Name == "machine-config-controller" {
			return &controllerLog{file: p.Log}, nil
		}
	}
	return nil, errors.New("the lab has no Machine Config Controller")
}

// reset leaves out what was logged so far.
func (j *controllerLog) reset() error {
	info, err := os.Stat(j.file)
	if err == nil {
		j.offset = info.Size()
	}
	return err
}

// awaitRefusal returns the reason of the first refusal since forget.
func (j *controllerLog) awaitRefusal(ctx context.Context) (reason string, err error) {
	err = lab.Eventually(ctx, renderTimeout, "the controller refuses nothing",
		func(context.Context) (bool, string, error) {
			all, err := j.refusals()
			if len(all) > 0 {
				reason = all[0]
			}
			return len(all) > 0, "no such line in its log", err
		})
	return reason, err
}

// refusals are the reasons logged since forget, oldest first.
func (j *controllerLog) refusals() ([]string, error) {
	log, err := os.ReadFile(j.file)
	if err != nil {
		return nil, err
	}
	var out []string
	for line := range strings.Lines(string(log[j.offset:])) {
		// A line that is still being written is left for the next look.
		_, reason, ok := strings.Cut(line, "Error syncing image config openshift-config: ")
		if ok && strings.HasSuffix(reason, "\n") {
			out = append(out, strings.TrimSpace(reason))
		}
	}
	return out, nil
}
