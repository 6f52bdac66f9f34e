package inventory

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// addServiceAccount remembers the pull secrets that pods of the ServiceAccount get when they name
// none. Pods that exist have them in their spec already; templates do not.
func addServiceAccount(rd *readState, a *corev1.ServiceAccount) {
	if secrets := pullSecrets(a.ImagePullSecrets, a.Namespace); len(secrets) > 0 {
		rd.pullSecrets[types.NamespacedName{Namespace: a.Namespace, Name: a.Name}] = secrets
	}
}
