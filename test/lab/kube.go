package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// The command lines of the control plane. All of it listens on loopback only.

func (l *Lab) etcdCommand() *exec.Cmd {
	client := "http://" + loopback(l.etcdPort)
	peer := "http://" + loopback(l.etcdPeerPort)
	return l.part("etcd",
		"--name=lab",
		"--data-dir="+l.path("etcd"),
		"--listen-client-urls="+client, "--advertise-client-urls="+client,
		"--listen-peer-urls="+peer, "--initial-advertise-peer-urls="+peer,
		"--initial-cluster=lab="+peer,
		// A lab does not survive a power cut anyway. This is the difference between seconds and a
		// minute on a slow disk.
		"--unsafe-no-fsync",
		"--log-level=warn",
	)
}

func (l *Lab) apiServerCommand() *exec.Cmd {
	return l.part("kube-apiserver",
		"--etcd-servers=http://"+loopback(l.etcdPort),
		"--bind-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", l.apiPort),
		"--advertise-address=127.0.0.1",
		"--tls-cert-file="+l.path("certs", "api.crt"), "--tls-private-key-file="+l.path("certs", "api.key"),
		"--cert-dir="+l.path("certs"),
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file="+l.path("certs", "tokens.key"),
		"--service-account-signing-key-file="+l.path("certs", "tokens.key"),
		"--token-auth-file="+l.path("certs", "tokens.csv"),
		"--authorization-mode=RBAC",
		// Simulated nodes mount no tokens, so pods need not name a ServiceAccount that exists.
		"--disable-admission-plugins=ServiceAccount",
		"--allow-privileged",
		"--service-cluster-ip-range=10.0.0.0/24",
		"--audit-policy-file="+l.path("certs", "audit-policy.yaml"),
		"--audit-log-path="+l.auditFile(),
		"--audit-log-mode=blocking", // an answered request is in the log: a test may count at once
		"--endpoint-reconciler-type=none",
	)
}

func (l *Lab) controllerManagerCommand() *exec.Cmd {
	return l.part("kube-controller-manager",
		"--kubeconfig="+l.kubeconfigFile("kube-controller-manager"),
		"--leader-elect=false",
		"--secure-port=0",
		"--service-account-private-key-file="+l.path("certs", "tokens.key"),
		"--root-ca-file="+l.path("certs", "api-ca.crt"),
		// Off: what needs a cloud, volumes or certificates for kubelets. Everything that decides
		// about pods, their owners, their budgets and their nodes is on.
		"--controllers=*,-persistentvolume-attach-detach-controller,-persistentvolume-binder-controller,"+
			"-persistentvolume-expander-controller,-persistentvolumeclaim-protection-controller,-persistentvolume-protection-controller,"+
			"-ephemeral-volume-controller,-node-ipam-controller,-node-route-controller,-cloud-node-lifecycle-controller,"+
			"-service-lb-controller,-certificatesigningrequest-signing-controller,-certificatesigningrequest-approving-controller,"+
			"-certificatesigningrequest-cleaner-controller,-ttl-controller",
		"--node-monitor-grace-period=40s",
		"--kube-api-qps=300", "--kube-api-burst=600",
	)
}

func (l *Lab) schedulerCommand() *exec.Cmd {
	return l.part("kube-scheduler",
		"--kubeconfig="+l.kubeconfigFile("kube-scheduler"),
		"--leader-elect=false",
		"--secure-port=0",
		"--kube-api-qps=300", "--kube-api-burst=600",
	)
}

// part builds the command of a binary of the lab. Its environment is this process's without what
// would lead it elsewhere: a KUBECONFIG or proxy of the user's shell has no say in the lab.
func (l *Lab) part(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(l.binDir, name), args...)
	cmd.Env = plainEnv()
	cmd.Dir = l.dir
	return cmd
}

func plainEnv() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + os.TempDir()}
}

// The policy: every write and every answer to it, without bodies. Reads, events and leases would be
// most of the log and nothing is ever counted in them. At level Metadata a refused request keeps
// its status message, for example "Cannot evict pod as it would violate the pod's disruption
// budget."
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  verbs: [get, list, watch]
- level: None
  resources:
  - group: coordination.k8s.io
    resources: [leases]
  - group: ""
    resources: [events]
  - group: events.k8s.io
    resources: [events]
- level: Metadata
`
