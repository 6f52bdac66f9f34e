// Package pool is the platform's side of a MachineConfigPool: it turns pools, nodes and rendered
// MachineConfigs into what the core looks at, and holds the patches by which the operator pauses,
// releases and restores a pool.
package pool
