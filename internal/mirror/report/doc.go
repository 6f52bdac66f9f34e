// Package report keeps the full list of a rollout's image references beside it, in
// SafeMirrorReports: for each reference who needs it, where nodes pull it from before and after,
// what becomes of it, and what proves it.
//
// Build is pure: it makes the reports from the plan, the inventory and what the registries said. A
// Writer makes the cluster have them, with few and small writes. Nothing is ever decided from a
// report.
package report
