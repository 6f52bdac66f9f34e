package lab

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// crdFiles are the CRDs that the controllers and the operator read, in the module of the OpenShift
// API. A controller of the Machine Config Operator waits without an end and without a message when a
// CRD that it watches is missing.
var crdFiles = []string{
	"payload-manifests/crds/*machine-config*.crd.yaml",
	"config/v1/zz_generated.crd-manifests/*.crd.yaml",
	"operator/v1/zz_generated.crd-manifests/*ingresscontrollers.crd.yaml",
	"operator/v1alpha1/zz_generated.crd-manifests/*imagecontentsourcepolicies.crd.yaml",
	"machine/v1beta1/zz_generated.crd-manifests/*.crd.yaml",
}

// otherVariants mark CRDs for feature sets and topologies that the lab's cluster does not have. Of
// machines-Default, machines-TechPreviewNoUpgrade and so on, the first is left.
var otherVariants = []string{"CustomNoUpgrade", "DevPreviewNoUpgrade", "TechPreviewNoUpgrade", "Hypershift"}

func readCRDs(apiDir string) ([]*unstructured.Unstructured, error) {
	byName := map[string]*unstructured.Unstructured{}
	for _, pattern := range crdFiles {
		files, err := filepath.Glob(filepath.Join(apiDir, pattern))
		if err != nil {
			return nil, fmt.Errorf("finding the CRDs of %s in %s: %w", pattern, apiDir, err)
		}
		if len(files) == 0 {
			return nil, fmt.Errorf("no file of %s matches %s: run make lab", apiDir, pattern)
		}
		for _, file := range files {
			if isOtherVariant(file) {
				continue
			}
			crds, err := readObjects(file)
			if err != nil {
				return nil, err
			}
			for _, crd := range crds {
				byName[crd.GetName()] = crd
			}
		}
	}
	return slices.Collect(maps.Values(byName)), nil
}

func isOtherVariant(file string) bool {
	return slices.ContainsFunc(otherVariants, func(variant string) bool {
		return strings.Contains(filepath.Base(file), variant)
	})
}

// createCRDs creates them all at once, a few requests at a time, and then waits for all: one by one
// they take three times as long.
func (l *Lab) createCRDs(ctx context.Context) error {
	crds, err := readCRDs(l.sources.api)
	if err != nil {
		return err
	}
	if err := inParallel(8, crds, func(crd *unstructured.Unstructured) error {
		unstructured.RemoveNestedField(crd.Object, "status")
		_, err := l.dynamic.Resource(crdResource).Create(ctx, crd, metav1.CreateOptions{})
		return err
	}); err != nil {
		return fmt.Errorf("creating CRDs: %w", err)
	}
	return Eventually(ctx, 3*time.Minute, "the CRDs are not established",
		func(ctx context.Context) (bool, string, error) {
			list, err := l.dynamic.Resource(crdResource).List(ctx, metav1.ListOptions{})
			if err != nil {
				return false, err.Error(), nil
			}
			for i := range list.Items {
				if !established(&list.Items[i]) {
					return false, list.Items[i].GetName(), nil
				}
			}
			return true, "", nil
		})
}

// inParallel calls do for every item, at most n at a time, and joins the errors.
func inParallel[T any](n int, items []T, do func(T) error) error {
	queue := make(chan int)
	failures := make([]error, len(items))
	var workers sync.WaitGroup
	for range n {
		workers.Go(func() {
			for i := range queue {
				failures[i] = do(items[i])
			}
		})
	}
	for i := range items {
		queue <- i
	}
	close(queue)
	workers.Wait()
	return errors.Join(failures...)
}
