package inventory

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var (
	virtualMachineKind         = schema.GroupVersionKind{Group: "kubevirt.io", Version: "v1", Kind: "VirtualMachine"}
	virtualMachineInstanceKind = schema.GroupVersionKind{Group: "kubevirt.io", Version: "v1",
		Kind: "VirtualMachineInstance"}
)

type virtualMachine struct {
	Spec struct {
		Running     *bool  `json:"running,omitempty"`
		RunStrategy string `json:"runStrategy,omitempty"`
		Template    struct {
			Spec vmSpec `json:"spec"`
		} `json:"template"`
	} `json:"spec"`
}

type virtualMachineInstance struct {
	Spec   vmSpec `json:"spec"`
	Status struct {
		Phase string `json:"phase,omitempty"`
	} `json:"status"`
}

// vmSpec is the spec of a virtual machine, as far as images go.
type vmSpec struct {
	Architecture string            `json:"architecture,omitempty"`
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`
	Domain       struct {
		Firmware *struct {
			KernelBoot *struct {
				Container *containerDisk `json:"container,omitempty"`
			} `json:"kernelBoot,omitempty"`
		} `json:"firmware,omitempty"`
	} `json:"domain"`
	Volumes []struct {
		ContainerDisk *containerDisk `json:"containerDisk,omitempty"`
	} `json:"volumes,omitempty"`
}

// containerDisk is an image that holds a disk or a kernel. The node pulls it like any other.
type containerDisk struct {
	Image           string            `json:"image,omitempty"`
	ImagePullPolicy corev1.PullPolicy `json:"imagePullPolicy,omitempty"`
	ImagePullSecret string            `json:"imagePullSecret,omitempty"`
}

// addVirtualMachine adds the images of a virtual machine, which has no pod while it is off.
func addVirtualMachine(rd *readState, owner Owner, m *virtualMachine) {
	class := Blocking
	if m.Spec.RunStrategy == "Halted" || (m.Spec.Running != nil && !*m.Spec.Running) {
		class = Advisory
	}
	rd.addVMSpec(&m.Spec.Template.Spec, Use{Owner: owner, Class: class})
}

func addVirtualMachineInstance(rd *readState, owner Owner, m *virtualMachineInstance) {
	class := Blocking
	if m.Status.Phase == "Succeeded" || m.Status.Phase == "Failed" {
		class = Historical
	}
	rd.addVMSpec(&m.Spec, Use{Owner: owner, Class: class})
}

func (rd *readState) addVMSpec(g *vmSpec, as Use) {
	selector := map[string]string{}
	if arch, ok := g.NodeSelector[corev1.LabelArchStable]; ok {
		selector[corev1.LabelArchStable] = arch
	} else if g.Architecture != "" {
		selector[corev1.LabelArchStable] = g.Architecture
	}
	as.Platforms = platforms(&corev1.PodSpec{NodeSelector: selector})
	add := func(d *containerDisk) {
		if d == nil {
			return
		}
		use := as
		use.Image, use.AlwaysPull = d.Image, pullsAlways(d.Image, d.ImagePullPolicy)
		use.PullSecrets = pullSecrets([]corev1.LocalObjectReference{{Name: d.ImagePullSecret}}, as.Owner.Namespace)
		rd.c.Add(use)
	}
	for i := range g.Volumes {
		add(g.Volumes[i].ContainerDisk)
	}
	if f := g.Domain.Firmware; f != nil && f.KernelBoot != nil {
		add(f.KernelBoot.Container)
	}
}
