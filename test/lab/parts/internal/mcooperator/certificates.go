package mcooperator

import (
	"context"
	"encoding/base64"
	"maps"
	"slices"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	ctrlcommon "github.com/openshift/machine-config-operator/pkg/controller/common"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"
)

// syncRegistryCertificates carries the registry CAs into the ControllerConfig, from where every
// daemon writes them at once, paused pool or not (Operator.syncRenderConfig and
// syncControllerConfig).
func (o *operator) syncRegistryCertificates(ctx context.Context) error {
	user, err := o.userBundles()
	if err != nil {
		return err
	}
	cluster := []mcfgv1.ImageRegistryBundle{}
	if own, err := o.managedMaps.ConfigMaps(managedNamespace).Get("image-registry-ca"); err == nil {
		cluster = bundles(own)
	}
	current, err := o.controllers.Get(ctrlcommon.ControllerConfigName)
	if apierrors.IsNotFound(err) {
		return nil // the lab has not come so far yet
	}
	if err != nil {
		return err
	}
	if equality.Semantic.DeepEqual(current.Spec.ImageRegistryBundleData, cluster) &&
		equality.Semantic.DeepEqual(current.Spec.ImageRegistryBundleUserData, user) {
		return nil
	}
	next := current.DeepCopy()
	next.Spec.ImageRegistryBundleData, next.Spec.ImageRegistryBundleUserData = cluster, user
	_, err = o.MCFG.MachineconfigurationV1().ControllerConfigs().Update(ctx, next, metav1.UpdateOptions{})
	return ignoreConflict(err)
}

// userBundles reads the ConfigMap that images.config names in additionalTrustedCA. One that does
// not exist is only a warning, and then counts as empty: the CAs that the admin had given disappear
// from all nodes.
func (o *operator) userBundles() ([]mcfgv1.ImageRegistryBundle, error) {
	image, err := o.images.Get("cluster")
	if err != nil {
		return nil, err
	}
	name := image.Spec.AdditionalTrustedCA.Name
	if name == "" {
		return []mcfgv1.ImageRegistryBundle{}, nil
	}
	trusted, err := o.userMaps.ConfigMaps(userNamespace).Get(name)
	if err != nil {
		klog.Warningf("could not find configmap specified in image.config.openshift.io/cluster with the name %s", name)
		return []mcfgv1.ImageRegistryBundle{}, nil
	}
	return bundles(trusted), nil
}

// bundles turns a ConfigMap into bundles, keys in order, text before binary. Text that happens to
// be base64 is decoded, as the MCO does.
func bundles(from *corev1.ConfigMap) []mcfgv1.ImageRegistryBundle {
	result := []mcfgv1.ImageRegistryBundle{}
	for _, key := range slices.Sorted(maps.Keys(from.Data)) {
		data, err := base64.StdEncoding.DecodeString(from.Data[key])
		if err != nil {
			data = []byte(from.Data[key])
		}
		result = append(result, mcfgv1.ImageRegistryBundle{File: key, Data: data})
	}
	for _, key := range slices.Sorted(maps.Keys(from.BinaryData)) {
		result = append(result, mcfgv1.ImageRegistryBundle{File: key, Data: from.BinaryData[key]})
	}
	return result
}

// ignoreConflict leaves a write that lost against a newer version to the next round, which reads
// it.
func ignoreConflict(err error) error {
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}
