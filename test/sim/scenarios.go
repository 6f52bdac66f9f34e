package sim

// Scenarios are the scenarios whose logs are in testdata/stories, each in a fixed order; with other
// seeds, delays and ties differ.
func Scenarios() []Scenario { //nolint:funlen // it is a table
	return []Scenario{
		{Name: "the-whole-way", About: "nothing goes wrong", Masters: 3, Workers: 3},
		{Name: "operator-dies-often", About: "the operator is killed in every phase, at every kind of point",
			Masters: 1, Workers: 3, Faults: []Fault{
				{Kind: "crash-decided", At: 2}, {Kind: "crash-acted", Phase: "Pause"},
				{Kind: "crash-before-report", Phase: "Pause", At: 1},
				{Kind: "crash-acted", Phase: "Apply"}, {Kind: "crash-before-report", Phase: "Release", At: 1},
				{Kind: "crash-acted", Phase: "Release", At: 60},
				{Kind: "crash-decided", Phase: "Release", At: 120}, {Kind: "crash-before-report", Phase: "Restore"},
				{Kind: "crash-acted", Phase: "Finish"},
			}},
		{Name: "operator-dies-for-good",
			About: "the leader dies while a pool is open, and only the guard of the other replica is left", Workers: 3,
			Replicas: 2, Faults: []Fault{
				{Kind: "dies-for-good", Phase: "Release", At: 7},
			}},
		{Name: "two-leaders", About: "two replicas lead at the same time", Masters: 1, Workers: 2, Replicas: 2,
			Faults: []Fault{
				{Kind: "two-leaders", Phase: "Pause", For: 90},
			}},
		{Name: "budget-allows-nothing", About: "a PodDisruptionBudget is at zero for 20 minutes", Workers: 3,
			Spec: Spec{DrainTimeoutSeconds: 600}, Faults: []Fault{
				{Kind: "pdb-zero", Target: "router", Phase: "Render", For: 1200},
			}},
		{Name: "drain-times-out", About: "two budgets cover one pod, so that it is never evicted; the rollout rolls back by itself", Workers: 3,
			Spec:   Spec{DrainTimeoutSeconds: 600, RollbackOnFailure: true},
			Faults: []Fault{{Kind: "pdb-overlap", Target: "router", Phase: "Release", At: 60}}},
		{Name: "mirror-dies-mid-way", About: "the mirror is down for half an hour between two releases", Workers: 3,
			Faults: []Fault{
				{Kind: "registry-down", Target: "m1", Phase: "Release", At: 40, For: 1800},
			}},
		{Name: "image-vanishes", About: "an image disappears from the mirror while nodes are released", Workers: 3,
			Faults: []Fault{
				{Kind: "image-vanishes", Phase: "Release", At: 30},
			}},
		{Name: "image-lost-under-a-drain",
			About: "an image disappears after a node took the release, from the mirror and from the node where the next pod lands; it heals by itself", Workers: 3, Faults: []Fault{
				{Kind: "image-vanishes", Phase: "Release", At: 50},
				{Kind: "images-collected", Target: "worker-0", Phase: "Release", At: 56},
			}},
		{Name: "image-lost-for-good", About: "the same, and the source is gone: the pod is moved to a node that still has the image", Workers: 3, Spec: Spec{Relocate: true}, Faults: []Fault{
			{Kind: "image-vanishes", Phase: "Release", At: 50},
			{Kind: "images-collected", Target: "worker-0", Phase: "Release", At: 56},
			{Kind: "registry-down", Target: "quay.io", Phase: "Release", At: 50, For: 1200},
		}},
		{Name: "nodes-refused", About: "the mirror serves the operator and refuses the nodes: the first one shows it, and no other gets the configuration", Workers: 3, Faults: []Fault{
			{Kind: "nodes-refused", Target: "m1", Phase: "Release", At: 5, For: 900},
		}},
		{Name: "user-unpauses", About: "somebody unpauses a pool during the rollout, and then again", Masters: 1,
			Workers: 3, Faults: []Fault{
				{Kind: "user-unpauses", Target: "worker", Phase: "Verify", At: 1},
				{Kind: "user-unpauses", Target: "worker", Phase: "Release", At: 90},
			}},
		{Name: "user-stops-a-pulse", About: "somebody pauses the pool that is open, and lets it go later", Workers: 3,
			Faults: []Fault{
				{Kind: "user-pauses", Target: "worker", Phase: "Release", At: 6, For: 300},
			}},
		{Name: "gitops-reverts", About: "a pipeline takes the mirror set away every two minutes, for ten minutes",
			Workers: 3, Faults: []Fault{
				{Kind: "gitops-reverts", Phase: "Release", At: 20, For: 600},
			}},
		{Name: "node-never-returns", About: "the updating node goes down for good", Workers: 3, Faults: []Fault{
			{Kind: "node-down", Target: "worker-0", Phase: "Release", At: 15},
		}},
		{Name: "node-deleted", About: "the updating node is deleted, and a new one is born", Workers: 3,
			Faults: []Fault{
				{Kind: "node-deleted", Target: "worker-0", Phase: "Release", At: 15},
				{Kind: "node-added", Phase: "Release", At: 60},
			}},
		{Name: "down-since-before", About: "a worker is down since before the rollout: it is neither counted nor touched", Workers: 4, Down: []string{"worker-3"}},
		{Name: "held", About: "the user holds the rollout while a pool is open", Workers: 3,
			Faults: []Fault{{Kind: "hold", Phase: "Release", At: 3, For: 600}}},
		{Name: "rollback", About: "the user asks for a rollback after two nodes", Masters: 1, Workers: 3,
			Faults: []Fault{{Kind: "rollback", Phase: "Release", At: 90}}},
		{Name: "aborted", About: "the user aborts before anything has reached a node", Workers: 3,
			Faults: []Fault{{Kind: "abort", Phase: "Render", At: 1}}},
		{Name: "deleted-mid-way", About: "the rollout is deleted after one node", Workers: 3,
			Faults: []Fault{{Kind: "delete", Phase: "Release", At: 40}}},
		{Name: "spec-edited", About: "the spec names another mirror after one node", Workers: 3,
			Faults: []Fault{{Kind: "spec-edited", Phase: "Release", At: 50}}},
		{Name: "second-rollout", About: "another rollout is created, and waits for its turn", Workers: 3,
			Faults: []Fault{{Kind: "second-rollout", Phase: "Pause"}}},
		{Name: "upgrade-starts", About: "a cluster upgrade starts between two releases", Masters: 1, Workers: 2,
			Faults: []Fault{
				{Kind: "upgrade", Phase: "Release", At: 50, For: 1200}, {Kind: "delete", Phase: "Release", At: 2400},
			}},
		{Name: "targeted", About: "nodes are told by name, and no pool is open before the end", Masters: 3, Workers: 3,
			Spec: Spec{Targeted: true}},
		{Name: "two-at-once", About: "two nodes of the worker pool are taken by each unpause window, but for the canary",
			Masters: 1, Workers: 5, MaxUnavailable: "50%", Spec: Spec{MaxConcurrent: 3}},
		{Name: "two-targets", About: "the operator is killed after the first of two nodes was told; a third node is down since before", Workers: 6, MaxUnavailable: "2",
			Down: []string{"worker-5"}, Spec: Spec{Targeted: true, MaxConcurrent: 2},
			Faults: []Fault{{Kind: "crash-between-nodes", Phase: "Release", At: 20}}},
		{Name: "leader-steps-down", About: "the node of the leader comes last, and another replica leads by then",
			Masters: 3, Workers: 2, Replicas: 2, Hosted: true, Spec: Spec{Targeted: true}},
		{Name: "targeted-rollback", About: "a drain gets stuck and the user rolls back, all by name", Workers: 4,
			MaxUnavailable: "2", Spec: Spec{Targeted: true, MaxConcurrent: 2}, Faults: []Fault{
				{Kind: "pdb-zero", Target: "router", Phase: "Release", At: 53, For: 1800},
				{Kind: "rollback", Phase: "Release", At: 400},
			}},
		{Name: "compact", About: "the masters are the workers, and the worker pool has no nodes", Masters: 3},
		{Name: "single-node", About: "one node is the whole cluster: it is not drained, and the operator dies with it",
			Masters: 1, Spec: Spec{Targeted: true}, Faults: []Fault{
				{Kind: "crash", Phase: "Release", At: 8, For: 60},
			}},
		{Name: "status-lost", About: "the status is taken away while a node is updating", Masters: 1, Workers: 3,
			Faults: []Fault{{Kind: "status-lost", Phase: "Release", At: 20}}},
		{Name: "staged", About: "the mirrors come with the source as a fallback, and the source is blocked in a second pass", Masters: 1, Workers: 2,
			Spec: Spec{Staged: true, Digests: true, EnforceAfterSeconds: 600}},
		{Name: "staged-and-dies-between-writes",
			About:   "the operator dies between the two writes that block the source, and is held when it comes back",
			Workers: 2,
			Spec:    Spec{Staged: true, Digests: true}, Faults: []Fault{
				{Kind: "crash-writing", Target: "2", Phase: "Enforce"},
				{Kind: "hold", Phase: "Enforce", At: 27, For: 300},
			}},
		{Name: "staged-and-deleted", About: "the rollout is deleted between the passes: it ends with the first",
			Workers: 2,
			Spec:    Spec{Staged: true, EnforceAfterSeconds: 600},
			Faults:  []Fault{{Kind: "delete", Phase: "Enforce", At: 60}}},
		{Name: "reload", About: "nodes reload instead of being drained; the user's policy drains, and is back at the end", Masters: 1, Workers: 2,
			Policy: "drain", Spec: Spec{Reload: true}},
		{Name: "reload-and-rollback", About: "nodes reload there and back", Workers: 3, Policy: "drain",
			Spec: Spec{Reload: true}, Faults: []Fault{
				{Kind: "rollback", Phase: "Release", At: 90}}},
		{Name: "reload-and-policy-edited",
			About: "somebody changes the policy between two releases, and puts it back later", Workers: 3,
			Spec:   Spec{Reload: true},
			Faults: []Fault{{Kind: "policy-edited", Phase: "Release", At: 30, For: 300}}},
		{Name: "blind-and-stale", About: "caches lag, and parts of the cluster cannot be read", Masters: 1, Workers: 3,
			Faults: []Fault{
				{Kind: "stale-reads", Phase: "Pause", For: 120},
				{Kind: "partial-reads", Target: "pools", Phase: "Release", At: 30, For: 60},
				{Kind: "partial-reads", Target: "workloads", Phase: "Release", At: 70, For: 60},
				{Kind: "lost-answers", Phase: "Release", At: 110, For: 20},
			}},
	}
}
