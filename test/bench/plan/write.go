package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	apiruntime "k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"golang.org/x/sync/errgroup"
)

// write leaves the cluster in dir/json and dir/yaml, as oc get -o json and -o yaml print lists, and
// the rollout beside them.
func (c *cluster) write(dir string) error {
	singles, err := c.singletons()
	if err != nil {
		return err
	}
	for _, list := range []struct {
		name string
		n    int
		item func(int) apiruntime.Object
	}{
		{"pods", c.pods, func(i int) apiruntime.Object { return c.pod(i) }},
		{"nodes", c.nodes, func(i int) apiruntime.Object { return c.node(i) }},
		{"deployments", c.images, func(i int) apiruntime.Object { return c.deployment(i) }},
		{"replicasets", c.images, func(i int) apiruntime.Object { return c.replicaSet(i) }},
		{"daemonsets", 50, func(i int) apiruntime.Object { return c.daemonSet(i) }},
		{"cluster", len(singles), func(i int) apiruntime.Object { return singles[i] }},
	} {
		if err := writeList(dir, list.name, list.n, list.item); err != nil {
			return err
		}
	}
	text, err := yaml.Marshal(rollout())
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "rollout.yaml"), text, 0o600)
}

// writeList writes one list in both forms. Items are made one after another, since they draw from
// one seed, and printed in parallel.
func writeList(dir, name string, n int, item func(int) apiruntime.Object) error {
	asJSON, err := create(dir, "json", name)
	if err != nil {
		return err
	}
	defer asJSON.file.Close()
	asYAML, err := create(dir, "yaml", name)
	if err != nil {
		return err
	}
	defer asYAML.file.Close()
	fmt.Fprint(asJSON, "{\n    \"apiVersion\": \"v1\",\n    \"items\": [\n")
	fmt.Fprint(asYAML, "apiVersion: v1\nitems:\n")
	const chunk = 1000
	for from := 0; from < n; from += chunk {
		printed := make([][2][]byte, min(chunk, n-from))
		var group errgroup.Group
		group.SetLimit(runtime.GOMAXPROCS(0))
		for i := range printed {
			object := item(from + i)
			group.Go(func() (err error) {
				printed[i], err = encode(object)
				return err
			})
		}
		if err := group.Wait(); err != nil {
			return err
		}
		for i, p := range printed {
			if from+i > 0 {
				fmt.Fprint(asJSON, ",\n")
			}
			fmt.Fprintf(asJSON, "%s", p[0]) // what fails to be written fails the Flush below
			fmt.Fprintf(asYAML, "%s", p[1])
		}
	}
	fmt.Fprint(asJSON, "\n    ],\n    \"kind\": \"List\",\n    \"metadata\": {\n        \"resourceVersion\": \"\"\n    }\n}\n")
	fmt.Fprint(asYAML, "kind: List\nmetadata:\n  resourceVersion: \"\"\n")
	if err := asJSON.Flush(); err != nil {
		return err
	}
	return asYAML.Flush()
}

type output struct {
	*bufio.Writer
	file *os.File
}

func create(dir, format, name string) (output, error) {
	if err := os.MkdirAll(filepath.Join(dir, format), 0o700); err != nil {
		return output{}, err
	}
	file, err := os.Create(filepath.Join(dir, format, name+"."+format))
	return output{bufio.NewWriterSize(file, 1<<20), file}, err
}

// encode prints an object as an item of a list: indented JSON, and block YAML.
func encode(object apiruntime.Object) (out [2][]byte, err error) {
	raw, err := json.Marshal(object)
	if err != nil {
		return out, err
	}
	var indented bytes.Buffer
	indented.WriteString("        ")
	if err := json.Indent(&indented, raw, "        ", "    "); err != nil {
		return out, err
	}
	block, err := yaml.JSONToYAML(raw)
	if err != nil {
		return out, err
	}
	block = bytes.ReplaceAll(bytes.TrimSuffix(block, []byte("\n")), []byte("\n"), []byte("\n  "))
	return [2][]byte{indented.Bytes(), append(append([]byte("- "), block...), '\n')}, nil
}
