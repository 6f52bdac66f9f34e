//go:build lab

package crash

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/test/lab"
	"github.com/safe-mirror/safe-mirror-operator/test/scenario"
)

// env is what all runs share: a lab of two nodes, staged once, and the proxy before its API server.
var env struct {
	ctx        context.Context // ends with a signal, so that no lab is left behind
	lab        *lab.Lab
	proxy      *Proxy
	kubeconfig string            // the operator's, through the proxy
	rendered   map[string]string // what each pool was rendered to
}

func TestMain(m *testing.M) {
	flag.Parse()
	ctrl.SetLogger(zap.New(zap.WriteTo(os.Stderr)))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	env.ctx = ctx
	code := 1
	if err := setUp(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "crash:", err)
	} else {
		code = m.Run()
	}
	if env.proxy != nil {
		env.proxy.Close()
	}
	if env.lab != nil {
		env.lab.Stop()
	}
	stop()
	os.Exit(code)
}

func setUp(ctx context.Context) (err error) {
	// No control plane nodes: their pool is there, and empty. Two nodes are as many as it takes for
	// one to be next.
	if env.lab, err = lab.Start(ctx, lab.Options{Workers: 2, Masters: -1, Scale: 0.02}); err != nil {
		return err
	}
	if env.proxy, err = NewProxy(env.lab.Config()); err != nil {
		return err
	}
	env.proxy.Delay = 2 * time.Second // longer than the lab's controllers take to act on anything
	if err := stage(ctx, env.lab); err != nil {
		return err
	}
	return env.lab.Snapshot(ctx)
}

const (
	source    = scenario.SourceHost + "/acme"
	mirror    = scenario.MirrorHost + "/acme"
	namespace = "shop"
)

// stage fills the mirror, so that nothing has to be copied, starts a protected pod, and installs
// the operator's manifests.
func stage(ctx context.Context, l *lab.Lab) error {
	for _, host := range []string{scenario.SourceHost, scenario.MirrorHost} {
		if _, err := l.Registry(host).Push(ctx, "acme/app:v1", lab.Image{Seed: "app"}); err != nil {
			return err
		}
	}
	c, err := scenario.NewCluster(l)
	if err != nil {
		return err
	}
	for _, o := range app() {
		if err := c.Client.Create(ctx, o); err != nil {
			return err
		}
	}
	if err := c.WaitReady(ctx, namespace, "app", 1); err != nil {
		return err
	}
	if env.rendered, err = c.Rendered(ctx); err != nil {
		return err
	}
	if err := scenario.Install(ctx, l); err != nil {
		return err
	}
	direct, err := l.ServiceAccountKubeconfig(ctx, "safe-mirror-operator", "safe-mirror-operator")
	if err != nil {
		return err
	}
	env.kubeconfig = filepath.Join(filepath.Dir(direct), "operator-by-proxy.kubeconfig")
	return env.proxy.Kubeconfig(direct, env.kubeconfig)
}

// app is one pod that pulls whenever it starts, so that each node it comes to shows whether it can;
// with a budget of one.
func app() []client.Object {
	labels := map[string]string{"app": "app"}
	one := intstr.FromInt32(1)
	return []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}},
		&appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Name: "app", Namespace: namespace},
			Spec: appsv1.DeploymentSpec{
				Replicas: new(int32(1)),
				Selector: &metav1.LabelSelector{MatchLabels: labels},
				Template: corev1.PodTemplateSpec{
					ObjectMeta: metav1.ObjectMeta{Labels: labels},
					Spec: corev1.PodSpec{Containers: []corev1.Container{
						{Name: "app", Image: source + "/app:v1", ImagePullPolicy: corev1.PullAlways},
					}},
				},
			},
		},
		&policyv1.PodDisruptionBudget{
			ObjectMeta: metav1.ObjectMeta{Name: "app", Namespace: namespace},
			Spec: policyv1.PodDisruptionBudgetSpec{MaxUnavailable: &one,
				Selector: &metav1.LabelSelector{MatchLabels: labels}},
		},
	}
}

func newRollout() *v1alpha1.SafeMirrorRollout {
	return &v1alpha1.SafeMirrorRollout{
		ObjectMeta: metav1.ObjectMeta{Name: "crash"},
		Spec: v1alpha1.SafeMirrorRolloutSpec{ImageTagMirrors: []v1alpha1.ImageMirrors{
			{Source: source, Mirrors: []string{mirror}, MirrorSourcePolicy: v1alpha1.NeverContactSource},
		}},
	}
}
