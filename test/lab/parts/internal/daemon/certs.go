package daemon

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	ctrlcommon "github.com/openshift/machine-config-operator/pkg/controller/common"
	"github.com/openshift/machine-config-operator/pkg/daemon/constants"
	"k8s.io/klog/v2"

	"github.com/safe-mirror/safe-mirror-operator/test/lab/parts/internal/nodefs"
)

// certificateWorker writes the authorities of registries, besides and regardless of the node
// worker: a new CA reaches every node at once, while pools are paused and while a node drains.
func (d *daemon) certificateWorker(ctx context.Context) {
	written := "" // resourceVersion of the ControllerConfig that is on disk
	for {
		key, quit := d.certs.Get()
		if quit {
			return
		}
		err := d.syncCertificates(ctx, &written)
		switch {
		case err == nil:
			d.certs.Forget(key)
		case ctx.Err() == nil:
			d.setFailed(ctx, err)
			d.certs.AddRateLimited(key)
		}
		d.certs.Done(key)
	}
}

// syncCertificates is Daemon.syncControllerConfigHandler without the kubelet's own certificates.
func (d *daemon) syncCertificates(ctx context.Context, written *string) error {
	config, err := d.controllers.Get(ctrlcommon.ControllerConfigName)
	if err != nil {
		return fmt.Errorf("could not get ControllerConfig: %w", err)
	}
	if config.ResourceVersion == *written {
		return nil
	}
	if err := d.writeCertificates(config.Spec.ImageRegistryBundleData,
		config.Spec.ImageRegistryBundleUserData); err != nil {
		return err
	}
	*written = config.ResourceVersion
	klog.V(2).Infof("%s: certificates synced from ControllerConfig resourceVersion %s", d.NodeName,
		config.ResourceVersion)
	if err := d.annotate(ctx, map[string]string{constants.ControllerConfigResourceVersionKey: config.ResourceVersion}); err != nil {
		return fmt.Errorf("failed to set annotations on node: %w", err)
	}
	return nil
}

// writeCertificates keeps the MCD's ways, one of them a surprise. A ConfigMap key cannot hold a
// colon, so a port is written with two dots, and the directory of a registry with a port is taken
// for a stale one at every change of the ControllerConfig: removed, then written again.
//
//	registry.example.com        -> certs.d/registry.example.com/ca.crt
//	registry.example.com..5000  -> certs.d/registry.example.com:5000/ca.crt
func (d *daemon) writeCertificates(cluster, user []mcfgv1.ImageRegistryBundle) error {
	directory := nodefs.CertsDir(d.Root, d.NodeName)
	wanted := map[string]bool{}
	for _, bundle := range append(append([]mcfgv1.ImageRegistryBundle{}, cluster...), user...) {
		wanted[bundle.File] = true
	}
	entries, err := os.ReadDir(directory)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.IsDir() && !wanted[entry.Name()] {
			if err := os.RemoveAll(filepath.Join(directory, entry.Name())); err != nil {
				klog.Warningf("%s: could not remove old certificate: %v", d.NodeName, err)
			}
		}
	}
	for _, bundles := range [][]mcfgv1.ImageRegistryBundle{cluster, user} { // the user's wins
		for _, bundle := range bundles {
			path := filepath.Join(directory, strings.ReplaceAll(bundle.File, "..", ":"), "ca.crt")
			if err := replaceFile(path, bundle.Data, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}
