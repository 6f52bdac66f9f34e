package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	configv1 "github.com/openshift/api/config/v1"

	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
)

// floor reads the big lists as a program without further thought would, and keeps them.
func floor(args []string) error {
	var pods corev1.PodList
	var nodes corev1.NodeList
	var deployments appsv1.DeploymentList
	var replicaSets appsv1.ReplicaSetList
	for name, list := range map[string]any{"pods": &pods, "nodes": &nodes, "deployments": &deployments,
		"replicasets": &replicaSets} {
		file, err := os.Open(filepath.Join(args[0], name+".json"))
		if err != nil {
			return err
		}
		defer file.Close()
		if err := json.NewDecoder(file).Decode(list); err != nil {
			return err
		}
	}
	fmt.Printf("%d objects\n", len(pods.Items)+len(nodes.Items)+len(deployments.Items)+len(replicaSets.Items))
	return nil
}

// evalReferences are as many as a big cluster has.
const evalReferences = 5000

// eval resolves and compares every reference under two configurations, and prints the shortest time
// of a few.
func eval([]string) error {
	sets := rulesOf(0, rules)
	before, err := config(registriesconf.Sets{IDMSs: sets.IDMSs})
	if err != nil {
		return err
	}
	after, err := config(sets)
	if err != nil {
		return err
	}
	var fastest time.Duration
	for run := range 5 {
		started := time.Now()
		changes := map[registriesconf.Change]int{}
		for i := range evalReferences {
			ref := image(i)
			named, err := registriesconf.ParseReference(ref)
			if err != nil {
				return err
			}
			changes[registriesconf.Compare(before.ResolveNamed(named), after.ResolveNamed(named))]++
		}
		if took := time.Since(started); run == 0 || took < fastest {
			fastest = took
		}
		if changes[registriesconf.GainsMirror] == 0 || changes[registriesconf.Unchanged] == 0 {
			return fmt.Errorf("the cluster is too dull: %v", changes)
		}
	}
	fmt.Println(fastest)
	return nil
}

func config(sets registriesconf.Sets) (registriesconf.Config, error) {
	sets.Image = &configv1.Image{}
	text, err := registriesconf.Render([]byte(base), sets)
	if err != nil {
		return registriesconf.Config{}, err
	}
	return registriesconf.Parse(text, nil)
}
