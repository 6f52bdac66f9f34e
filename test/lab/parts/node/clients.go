package main

import (
	configclientset "github.com/openshift/client-go/config/clientset/versioned"
	mcfgclientset "github.com/openshift/client-go/machineconfiguration/clientset/versioned"
	operatorclientset "github.com/openshift/client-go/operator/clientset/versioned"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// clients are shared by all nodes.
type clients struct {
	kube     kubernetes.Interface
	mcfg     mcfgclientset.Interface
	operator operatorclientset.Interface
	config   configclientset.Interface
}

// newClients is generous with the rate: hundreds of kubelets and daemons, each with a client of its
// own in reality, go through these.
func newClients(kubeconfig string) (*clients, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = 200, 400
	config.UserAgent = "lab-node"

	var c clients
	if c.kube, err = kubernetes.NewForConfig(binary(config)); err != nil {
		return nil, err
	}
	if c.mcfg, err = mcfgclientset.NewForConfig(config); err != nil {
		return nil, err
	}
	if c.operator, err = operatorclientset.NewForConfig(config); err != nil {
		return nil, err
	}
	c.config, err = configclientset.NewForConfig(config)
	return &c, err
}

// binary speaks protobuf, which the built-in types have and custom resources have not.
func binary(config *rest.Config) *rest.Config {
	c := rest.CopyConfig(config)
	c.ContentType = runtime.ContentTypeProtobuf
	c.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	return c
}
