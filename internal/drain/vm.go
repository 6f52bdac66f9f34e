package drain

// VMEviction is a running virtual machine of KubeVirt.
type VMEviction struct {
	// EvictionStrategy is its evictionStrategy, that of the cluster if it has none of its own;
	// empty when neither says.
	EvictionStrategy string
	// Migratable is its condition LiveMigratable, Why the message of it.
	Migratable bool
	Why        string
}

// The labels of KubeVirt's pods.
const (
	KubevirtLabel         = "kubevirt.io"
	VmNameLabel           = "vm.kubevirt.io/name"
	VirtLauncher          = "virt-launcher"
	HotplugDisk           = "hotplug-disk"
	LiveMigrate           = "LiveMigrate"
	LiveMigrateIfPossible = "LiveMigrateIfPossible"
	StrategyNone          = "None"
	KindVMI               = "VirtualMachineInstance"
)
