package lab

import (
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"slices"
	"syscall"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// startPart starts one of the lab's own processes and keeps an eye on it.
func (l *Lab) startPart(name string, cmd *exec.Cmd) error {
	p, err := l.spawn(name, cmd)
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.parts = append(l.parts, p)
	l.mu.Unlock()
	go l.supervise(p)
	return nil
}

// supervise waits for a part to end. If it is still on the list (killAll removes parts from it), it
// ended by itself: the machine config controller is then started again, as the kubelet would on a
// cluster (it exits on purpose when feature gates change); for any other part the lab is broken,
// and says so.
func (l *Lab) supervise(p *Process) {
	<-p.done
	found, killings := l.removePart(p)
	if !found {
		return
	}
	l.logf("%v", p.failure())
	if p.Name == machineConfigController {
		l.restartMachineConfigController(killings)
		return
	}
	select {
	case l.deaths <- p:
	default: // sixteen are unread already
	}
}

// restartMachineConfigController gives up when the lab was reset or stopped since the old one
// ended.
func (l *Lab) restartMachineConfigController(killings int) {
	time.Sleep(time.Second)
	l.restarts.Lock()
	defer l.restarts.Unlock()
	if l.readKillCount() != killings {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := l.startMachineConfigController(ctx); err != nil {
		l.logf("%v", err)
	}
}

func (l *Lab) readKillCount() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.killCount
}

// removePart takes a part off the list, and says how often killAll had emptied it before.
func (l *Lab) removePart(p *Process) (found bool, killings int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(l.parts, p)
	if i < 0 {
		return false, l.killCount
	}
	l.parts = slices.Delete(l.parts, i, i+1)
	return true, l.killCount
}

// killAll kills every process of the lab and waits until all are gone. SIGKILL for all, but nothing
// is lost: what etcd has answered for, it has written.
func (l *Lab) killAll() {
	doomed := l.removeAllParts()
	for _, p := range doomed {
		p.signal(syscall.SIGKILL)
	}
	for _, p := range doomed {
		<-p.done
	}
}

// removeAllParts empties the lists, the guests first. A part that is just being started again gets
// onto the list before; one that was to be finds the count changed.
func (l *Lab) removeAllParts() []*Process {
	l.restarts.Lock()
	defer l.restarts.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	all := append(slices.Clone(l.extraProcesses), l.parts...)
	l.extraProcesses, l.parts = nil, nil
	l.killCount++
	return all
}

func (l *Lab) startRegistries(ctx context.Context) error {
	for _, r := range l.registries {
		if err := l.startPart("registry-"+r.Name, l.registryCommand(r)); err != nil {
			return err
		}
	}
	for _, r := range l.registries {
		if err := r.waitListening(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (l *Lab) startAPI(ctx context.Context) error {
	if err := l.startPart("etcd", l.etcdCommand()); err != nil {
		return err
	}
	if err := l.startPart("kube-apiserver", l.apiServerCommand()); err != nil {
		return err
	}
	return l.waitAPI(ctx)
}

// waitAPI waits for readyz, which answers 200 when all of the API server's own start-up work is
// done.
func (l *Lab) waitAPI(ctx context.Context) error {
	return Eventually(ctx, 3*time.Minute, "the API server is not ready",
		func(ctx context.Context) (bool, string, error) {
			var code int
			body, err := l.kube.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).StatusCode(&code).Raw()
			if code == http.StatusOK {
				return true, "", nil
			}
			return false, fmt.Sprintf("%d %s %v", code, body, err), nil
		})
}

// startControllers starts everything that acts on the API. The nodes come first: after a Reset, the
// controller manager finds them in etcd, and they should be sending heartbeats by then.
func (l *Lab) startControllers(ctx context.Context) error {
	l.nodesBegan = time.Now()
	for _, part := range []struct {
		name string
		cmd  *exec.Cmd
	}{
		{"node", l.nodeCommand()},
		{"kube-controller-manager", l.controllerManagerCommand()},
		{"kube-scheduler", l.schedulerCommand()},
	} {
		if err := l.startPart(part.name, part.cmd); err != nil {
			return err
		}
	}
	return l.startMachineConfigController(ctx)
}

func (l *Lab) nodeCommand() *exec.Cmd {
	cmd := l.part("node",
		"--kubeconfig="+l.kubeconfigFile("node"),
		"--root="+l.path("node"),
		fmt.Sprintf("--scale=%g", l.options.Scale),
		"--pull-log="+l.pullLogFile(),
		"--templates="+l.templates(),
	)
	cmd.Env = append(cmd.Env, l.Env()...)
	return cmd
}

const machineConfigController = "machine-config-controller"

// startMachineConfigController starts the quick or the stock one. The stock one waits for its
// leader lease, and a predecessor that was killed did not give it back: it would wait 137 seconds.
func (l *Lab) startMachineConfigController(ctx context.Context) error {
	const namespace = "openshift-machine-config-operator"
	leases := l.kube.CoordinationV1().Leases(namespace)
	err := leases.Delete(ctx, machineConfigController, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("freeing the leader lease: %w", err)
	}
	cmd := l.machineConfigControllerCommand()
	cmd.Env = append(cmd.Env, "POD_NAME=machine-config-controller-lab", "POD_NAMESPACE="+namespace)
	return l.startPart(machineConfigController, cmd)
}

func (l *Lab) machineConfigControllerCommand() *exec.Cmd {
	// --v=2 is what its Deployment on a cluster says. Below that it does not log that it refuses
	// mirror sets.
	access := []string{"--kubeconfig=" + l.kubeconfigFile(machineConfigController), "--templates=" + l.templates(),
		"--v=2"}
	if l.options.Stock {
		return l.part("mcc-stock", append([]string{"start",
			"--resourcelock-namespace=openshift-machine-config-operator",
			"--metrics-listen-address=" + loopback(l.mccPort),
		}, access...)...)
	}
	return l.part("mcc", append(access, "--delay=100ms", fmt.Sprintf("--scale=%g", l.options.Scale))...)
}

func (l *Lab) templates() string { return l.sources.mco + "/templates" }
