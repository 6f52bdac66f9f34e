package inventory

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// harmlessMutators change pods without adding a container to them.
var harmlessMutators = []string{"pod-identity-webhook"}

func injectors(ctx context.Context, rd *readState, r client.Reader) error {
	return each(ctx, r, &admissionregistrationv1.MutatingWebhookConfigurationList{},
		func(c *admissionregistrationv1.MutatingWebhookConfiguration) {
			rd.addInjector(ctx, c)
		})
}

// addInjector reads what an injector of Istio adds to pods that do not exist yet. What any other
// one adds is known from the pods that run, and from nothing else.
func (rd *readState) addInjector(ctx context.Context, c *admissionregistrationv1.MutatingWebhookConfiguration) {
	if slices.Contains(harmlessMutators, c.Name) {
		return
	}
	namespaces, unknown := map[string]bool{}, ""
	for i := range c.Webhooks {
		w := &c.Webhooks[i]
		if !changesPods(w) {
			continue
		}
		if !strings.HasSuffix(w.Name, "sidecar-injector.istio.io") || w.ClientConfig.Service == nil {
			unknown = w.Name
			continue
		}
		if ns := w.ClientConfig.Service.Namespace; !namespaces[ns] {
			namespaces[ns] = true
			rd.addIstio(ctx, ns, c.Labels["istio.io/rev"])
		}
	}
	if unknown != "" {
		rd.addUnreadInjector(fmt.Sprintf("%s (webhook %s) may add images to pods as they are created; those of pods that run are known", c.Name, unknown))
	}
}

func (rd *readState) addUnreadInjector(why string) {
	rd.unreadSources = append(rd.unreadSources,
		UnreadSource{Source: "sidecar injectors", Kind: "MutatingWebhookConfiguration", Why: why})
}

func changesPods(w *admissionregistrationv1.MutatingWebhook) bool {
	return slices.ContainsFunc(w.Rules, func(r admissionregistrationv1.RuleWithOperations) bool {
		return slices.ContainsFunc(r.Operations, func(o admissionregistrationv1.OperationType) bool {
			return o == admissionregistrationv1.Create || o == admissionregistrationv1.OperationAll
		}) && (slices.Contains(r.Resources, "pods") || slices.Contains(r.Resources, "*") || slices.Contains(r.Resources,
			"*/*")) &&
			(slices.Contains(r.APIGroups, "") || slices.Contains(r.APIGroups, "*"))
	})
}

// istioValues is the part of an injector's values that its template makes images of.
type istioValues struct {
	Global struct {
		Hub       string     `json:"hub"`
		Tag       any        `json:"tag"`
		Proxy     istioImage `json:"proxy"`
		ProxyInit istioImage `json:"proxy_init"`
	} `json:"global"`
}

type istioImage struct {
	Image string `json:"image"`
}

// addIstio adds the images of one revision of Istio: those that the next pod of an injected
// namespace gets, which after an upgrade of Istio are others than those of the pods that run.
func (rd *readState) addIstio(ctx context.Context, namespace, revision string) {
	name := "istio-sidecar-injector"
	if revision != "" && revision != "default" {
		name += "-" + revision
	}
	owner := Owner{"ConfigMap", namespace, name}
	cm := &corev1.ConfigMap{}
	if err := rd.api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, cm); err != nil {
		rd.addUnreadInjector(fmt.Sprintf("the images that Istio adds to pods are in %s: %v", owner, err))
		return
	}
	var v istioValues
	if err := json.Unmarshal([]byte(cm.Data["values"]), &v); err != nil {
		rd.addUnreadInjector(fmt.Sprintf("the images that Istio adds to pods are in %s, key values: %v", owner, err))
		return
	}
	for _, image := range []string{v.Global.Proxy.Image, v.Global.ProxyInit.Image} {
		if image != "" && !strings.Contains(image, "/") {
			image = fmt.Sprintf("%s/%s:%v", v.Global.Hub, image, v.Global.Tag)
		}
		rd.c.Add(Use{Image: image, Owner: owner, Class: Blocking})
	}
}
