package drain

// Webhook is an admission webhook with failurePolicy Fail that is asked about pods that are created or evicted.
type Webhook struct {
	// Name is that of its configuration and its own: validating policy.example.com of ValidatingWebhookConfiguration policy.
	Name string
	// Namespace and Service are what it is served by; empty when it is served from elsewhere, at a URL.
	Namespace, Service string
	// Selector selects the pods of the Service.
	Selector map[string]string
	// Creates is true when it is asked about pods that are created, Evicts when about evictions.
	Creates, Evicts bool
}
