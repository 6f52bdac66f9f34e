package daemon

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	ctrlcommon "github.com/openshift/machine-config-operator/pkg/controller/common"
	"github.com/openshift/machine-config-operator/pkg/daemon/constants"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/safe-mirror/safe-mirror-operator/test/lab/parts/internal/nodefs"
)

// Certificates come while the node drains, and go when the ConfigMap loses them.
func TestCertificatesIgnoreTheNodeWorker(t *testing.T) {
	l := newLab(t, fast, configs)
	l.setDrains(false)
	l.start()
	l.awaitDone("rendered-a")
	l.target("rendered-b")
	l.awaitAnnotation(constants.DesiredDrainerAnnotationKey, "drain-rendered-b")

	l.setBundles("2", mcfgv1.ImageRegistryBundle{File: "mirror.example", Data: []byte("one")},
		mcfgv1.ImageRegistryBundle{File: "mirror.example..5000", Data: []byte("two")})
	certs := nodefs.CertsDir(l.root, node)
	for host, want := range map[string]string{"mirror.example": "one", "mirror.example:5000": "two"} {
		if got := l.read(filepath.Join(certs, host, "ca.crt")); got != want {
			t.Errorf("%s has %q", host, got)
		}
	}
	l.setBundles("3")
	if entries, err := os.ReadDir(certs); err != nil || len(entries) != 0 {
		t.Errorf("certs.d still has %v (%v)", entries, err)
	}
}

// setBundles edits the ControllerConfig, and waits until the daemon has seen that version.
func (l *lab) setBundles(version string, bundles ...mcfgv1.ImageRegistryBundle) {
	l.t.Helper()
	config := &mcfgv1.ControllerConfig{ObjectMeta: metav1.ObjectMeta{Name: ctrlcommon.ControllerConfigName,
		ResourceVersion: version}}
	config.Spec.ImageRegistryBundleUserData = bundles
	if _, err := l.mcfg.MachineconfigurationV1().ControllerConfigs().Update(context.Background(), config,
		metav1.UpdateOptions{}); err != nil {
		l.t.Fatal(err)
	}
	l.awaitAnnotation(constants.ControllerConfigResourceVersionKey, version)
}
