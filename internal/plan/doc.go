// Package plan answers, before anything changes: where is each reference of the cluster pulled from
// today, where would it be pulled from under the new mirror sets, and what has to be copied, proven
// or added for nothing to be lost.
//
// Build is pure and needs no registry. What the registries say comes back as the results of the
// mirror engine, and Judge folds the two together.
package plan
