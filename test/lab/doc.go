// Package lab runs a real OpenShift control plane on one machine, without containers.
//
// Real are etcd, the API server, the scheduler, the controller manager, the controllers of the
// Machine Config Operator and three image registries; each is a process of its own. Simulated are
// the nodes (kubelet and machine-config-daemon): one further process, which pulls images with the
// library CRI-O uses, so that mirrors, blocked sources and fall-backs behave as they do on a
// cluster.
//
//	l, err := lab.Start(ctx, lab.Options{Workers: 4, Masters: 3})
//	defer l.Stop()
//	digest, err := l.Registry("quay.io").Push(ctx, "acme/router:v1", lab.Image{})
//	err = l.Apply(ctx, "testdata/routers.yaml")
//	err = l.Reset(ctx) // the next scenario begins where the first one did
//
// Everything lives under one temporary directory and on random loopback ports, so labs run side by
// side. Nothing reaches the network: image references such as quay.io/acme/router:v1 are real ones,
// but the only way out of the processes is the Wire, which knows the lab's own registries and no
// other host.
package lab
