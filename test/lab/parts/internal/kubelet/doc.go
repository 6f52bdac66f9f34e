// Package kubelet is the kubelet of a simulated node: it keeps the node alive in the API and plays
// the life of the pods that are bound to it. No container runs; images are really pulled (package
// pull).
//
// What is real, because it is the kubelet's own code: the image manager (pull policy by name,
// back-off keyed by pod and image, pull rate limit, events, the texts of ErrImagePull and
// ImagePullBackOff), the credentials from pull secrets, the conditions of a pod, the back-off of
// crash loops. The scheduler, the evictions, the disruption budgets and the node lifecycle are the
// control plane's.
//
// What is simulated: how long containers take to start, get ready, finish and stop, and whether
// they do. Annotations script it, on a pod (and so in a template) or on a node, and all of them
// live:
//
//	pod   lab.safemirror.io/ready-after-seconds: "30"  ready that long after the start (default 1)
//	pod   lab.safemirror.io/ready: "false"             not ready for as long as it is there
//	pod   lab.safemirror.io/crash: "true"              containers exit with 1 after a second, again and again
//	pod   lab.safemirror.io/run-forever: "true"        a pod of a Job does not complete
//	pod   lab.safemirror.io/shutdown-seconds: "45"     takes that long to stop (default 2), within its grace period
//	node  lab.safemirror.io/down: "true"               no heartbeats, pods freeze, deletions wait
//	node  lab.safemirror.io/cache: "ref1,ref2"         images that the node pulls once, for nobody
//
// All these times, and those of the kubelet itself, are multiplied by the scale of the lab; the
// heartbeats are not, because the control plane judges them by the clock.
//
// What is left out: probes, volumes, resources, admission by the kubelet, static pods, ephemeral
// containers, garbage collection of images, and post-start or pre-stop hooks. The containers of a
// pod pull at the same time; a real kubelet starts them one after the other.
package kubelet
