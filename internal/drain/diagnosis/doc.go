// Package diagnosis explains why the drain of a node makes no progress, from the
// PodDisruptionBudget to the image pull. It is pure; the package evidence reads what it needs.
package diagnosis
