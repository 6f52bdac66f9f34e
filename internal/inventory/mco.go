package inventory

import (
	"context"
	"encoding/json"
	"fmt"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Keys of ControllerConfig spec.images that every node pulls by itself
// (pkg/controller/template/constants.go of the MCO): the MCO's own image runs as the first program
// of a fresh node, and CRI-O pulls the pause image. The others are in templates of static pods,
// which are read from the rendered MachineConfigs.
const (
	machineConfigOperatorKey = "machineConfigOperator"
	pauseImageKey            = "infraImageKey"
)

// operatorImagesName is what gaps call the sources of this file.
const operatorImagesName = "images of the Machine Config Operator"

func controllerConfig(ctx context.Context, rd *readState, r client.Reader) error {
	cc := &mcfgv1.ControllerConfig{}
	if err := r.Get(ctx, client.ObjectKey{Name: "machine-config-controller"}, cc); err != nil {
		return err
	}
	use := Use{Owner: Owner{Kind: "ControllerConfig", Name: cc.Name}, Class: Advisory}
	for _, image := range []string{cc.Spec.OSImageURL, cc.Spec.BaseOSContainerImage,
		cc.Spec.BaseOSExtensionsContainerImage, cc.Spec.ReleaseImage} {
		use.Image = image
		rd.c.Add(use)
	}
	for key, image := range cc.Spec.Images {
		use.Image, use.Class, use.NodeStart = image, Advisory, false
		if key == machineConfigOperatorKey || key == pauseImageKey {
			use.Class, use.NodeStart = Blocking, true
		}
		rd.c.Add(use)
	}
	return nil
}

// operatorImages reads the images that the release gives to the MCO, from which it makes the
// ControllerConfig (pkg/controller/common/images.go).
func operatorImages(ctx context.Context, rd *readState, r client.Reader) error {
	const key = "images.json"
	owner := Owner{"ConfigMap", "openshift-machine-config-operator", "machine-config-operator-images"}
	cm := &corev1.ConfigMap{}
	if err := r.Get(ctx, client.ObjectKey{Namespace: owner.Namespace, Name: owner.Name}, cm); err != nil {
		return err
	}
	images := map[string]string{}
	if err := json.Unmarshal([]byte(cm.Data[key]), &images); err != nil {
		return fmt.Errorf("%s, key %s: %w", owner, key, err)
	}
	delete(images, "releaseVersion")
	for _, image := range images {
		rd.c.Add(Use{Image: image, Owner: owner, Class: Advisory})
	}
	return nil
}
