package lab

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// identities are the users of the lab's own processes. All are administrators, so that the lab
// needs no RBAC of OpenShift's, but each has the name its counterpart has on a cluster: the audit
// log then tells who wrote what.
var identities = map[string]string{
	"admin":                     "lab:admin",
	"kube-controller-manager":   "system:kube-controller-manager",
	"kube-scheduler":            "system:kube-scheduler",
	"machine-config-controller": "system:serviceaccount:openshift-machine-config-operator:machine-config-controller",
	"node":                      "lab:nodes",
}

// writeIdentities makes the API server's token file and one kubeconfig per identity.
func (l *Lab) writeIdentities() error {
	var csv strings.Builder
	for name, user := range identities {
		token := randomHex()
		fmt.Fprintf(&csv, "%s,%s,%s,system:masters\n", token, user, name)
		if err := l.writeKubeconfig(l.kubeconfigFile(name), token); err != nil {
			return err
		}
		if name == "admin" {
			l.config = &rest.Config{
				Host:            "https://" + loopback(l.apiPort),
				BearerToken:     token,
				TLSClientConfig: rest.TLSClientConfig{CAData: l.apiCA.PEM},
				QPS:             -1, // no throttling on this side: the API server has its own
			}
		}
	}
	return os.WriteFile(l.path("certs", "tokens.csv"), []byte(csv.String()), 0o600)
}

func (l *Lab) writeKubeconfig(file, token string) error {
	config := clientcmdapi.NewConfig()
	config.Clusters["lab"] = &clientcmdapi.Cluster{Server: "https://" + loopback(l.apiPort),
		CertificateAuthorityData: l.apiCA.PEM}
	config.AuthInfos["user"] = &clientcmdapi.AuthInfo{Token: token}
	config.Contexts["lab"] = &clientcmdapi.Context{Cluster: "lab", AuthInfo: "user"}
	config.CurrentContext = "lab"
	return clientcmd.WriteToFile(*config, file)
}

func (l *Lab) kubeconfigFile(name string) string {
	return l.path("kubeconfigs", name+".kubeconfig")
}

// Config is an administrator's client configuration; each call returns a copy.
func (l *Lab) Config() *rest.Config { return rest.CopyConfig(l.config) }

// Kubeconfig is the path of an administrator's kubeconfig.
func (l *Lab) Kubeconfig() string { return l.kubeconfigFile("admin") }

// ServiceAccountKubeconfig writes a kubeconfig that holds nothing but a token of that
// ServiceAccount, so that a process run with it has exactly the rights the manifests give it. The
// token lasts a day.
func (l *Lab) ServiceAccountKubeconfig(ctx context.Context, namespace, name string) (path string, err error) {
	day := int64(24 * 60 * 60)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &day}}
	token, err := l.kube.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, name, request, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("token of ServiceAccount %s/%s: %w", namespace, name, err)
	}
	path = l.kubeconfigFile(namespace + "." + name)
	return path, l.writeKubeconfig(path, token.Status.Token)
}

// Env is the environment of a process that talks to the registries: its way out is the Wire, and it
// trusts the public authority. API traffic is not affected, for Go's HTTP client never uses a proxy
// for loopback addresses.
func (l *Lab) Env() []string {
	return []string{
		"HTTPS_PROXY=" + l.wire.URL(),
		"HTTP_PROXY=" + l.wire.URL(),
		"NO_PROXY=127.0.0.1,localhost",
		"SSL_CERT_FILE=" + l.path("certs", "public-ca.crt"),
		"SSL_CERT_DIR=" + l.path("certs", "none"), // else Go adds the machine's own directories to the file
	}
}

func randomHex() string {
	b := make([]byte, 16)
	rand.Read(b)
	return hex.EncodeToString(b)
}
