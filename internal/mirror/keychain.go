package mirror

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Login is one set of registry credentials. Its printed form never shows a secret.
type Login struct {
	Username      string
	Password      string
	IdentityToken string // OAuth2 refresh token; used instead of the password when set
}

// String names the user and hides everything else.
func (l Login) String() string { return fmt.Sprintf("login of %q", l.Username) }

// GoString keeps %#v from printing the secret fields.
func (l Login) GoString() string { return l.String() }

// Keychain finds credentials by registry host and repository path. The zero value knows nobody:
// every pull is anonymous.
type Keychain struct {
	documents []map[string]Login
	warnings  []string
}

// String tells how many documents there are, never what is in them.
func (k Keychain) String() string { return fmt.Sprintf("keychain of %d documents", len(k.documents)) }

// GoString keeps %#v from printing the entries.
func (k Keychain) GoString() string { return k.String() }

// Warnings tells what of the documents is not used and why, one line each: a user who relies on a
// credential helper would look for the mistake elsewhere.
func (k Keychain) Warnings() []string { return slices.Clone(k.warnings) }

// KeychainError tells which document could not be read. It never repeats the content of the
// document.
type KeychainError struct {
	Document int    // counted from 1, in the order given to ParseKeychain
	Entry    string // the registry key whose "auth" is not base64, empty when the document as a whole is not readable
}

func (e *KeychainError) Error() string {
	if e.Entry != "" {
		return fmt.Sprintf("credentials document %d: the auth of entry %q is not base64", e.Document, e.Entry)
	}
	return fmt.Sprintf("credentials document %d: content is not docker config JSON", e.Document)
}

type dockerConfig struct {
	Auths       map[string]dockerAuth `json:"auths"`
	CredsStore  string                `json:"credsStore"`
	CredHelpers map[string]string     `json:"credHelpers"`
}

// helperWarnings says which entries are left to credential helpers. These are programs on the
// machine where somebody logged in; neither a node's auth file nor a pull secret can bring them
// along.
func (c dockerConfig) helperWarnings(document int) []string {
	var warnings []string
	warn := func(what, helper string) {
		warnings = append(warnings, fmt.Sprintf("credentials document %d: %s in docker-credential-%s and not in the document, so they are not used; "+
			"put the credentials themselves into its auths", document, what, oneLine(helper, maxMessage)))
	}
	if c.CredsStore != "" {
		warn("credsStore says that credentials are kept", c.CredsStore)
	}
	for _, host := range sortedKeys(c.CredHelpers) {
		warn(fmt.Sprintf("credHelpers says that those of %q are kept", host), c.CredHelpers[host])
	}
	return warnings
}

type dockerAuth struct {
	Auth          string `json:"auth"`
	Username      string `json:"username"`
	Password      string `json:"password"`
	IdentityToken string `json:"identitytoken"`
}

// ParseKeychain reads docker config JSON documents, {"auths":{"quay.io/acme":{"auth":"..."}}}, most
// important first. A document that cannot be read is a *KeychainError: a node that cannot read its
// auth file pulls nothing with it.
func ParseKeychain(docs ...[]byte) (Keychain, error) {
	var k Keychain
	for i, doc := range docs {
		var config dockerConfig
		if err := json.Unmarshal(doc, &config); err != nil {
			// The JSON error quotes the offending bytes, which may be a secret: it is dropped on
			// purpose.
			return Keychain{}, &KeychainError{Document: i + 1}
		}
		entries, bad := readEntries(config.Auths)
		if bad != "" {
			return Keychain{}, &KeychainError{Document: i + 1, Entry: bad}
		}
		k.documents = append(k.documents, entries)
		k.warnings = append(k.warnings, config.helperWarnings(i+1)...)
	}
	return k, nil
}

// readEntries turns the auths of one document into logins by normalised key, or names the entry
// that is not base64.
func readEntries(auths map[string]dockerAuth) (entries map[string]Login, bad string) {
	entries = map[string]Login{}
	for _, raw := range sortedKeys(auths) {
		login, err := auths[raw].login()
		if err != nil {
			return nil, raw
		}
		if login == (Login{}) {
			continue // {"quay.io":{}} only marks that a credential helper is used
		}
		key, exact := normaliseKey(raw)
		// "docker.io" and "https://index.docker.io/v1/" are the same place; the plain spelling
		// wins, as it does on a node.
		if _, taken := entries[key]; taken && !exact {
			continue
		}
		entries[key] = login
	}
	return entries, ""
}

func (a dockerAuth) login() (Login, error) {
	login := Login{Username: a.Username, Password: a.Password, IdentityToken: a.IdentityToken}
	decoded, err := base64.StdEncoding.DecodeString(a.Auth)
	if err != nil {
		return Login{}, err
	}
	if user, password, ok := strings.Cut(string(decoded), ":"); ok {
		login.Username, login.Password = user, strings.Trim(password, "\x00")
	}
	if login.IdentityToken == "" && (login.Username == "" || login.Password == "") {
		return Login{}, nil
	}
	return login, nil
}

// Lookup returns the login for a repository: in the first document that has a match, the longest
// one.
//
//	entries quay.io/acme and quay.io: acme/app -> the first, other/app -> the second, acmeco/app -> the second
//
// host is host[:port] as it stands in a reference; Docker Hub may be called docker.io or by its
// aliases.
func (k Keychain) Lookup(host, repository string) (Login, bool) {
	candidates := lookupOrder(normaliseHost(host), repository)
	for _, entries := range k.documents {
		for _, key := range candidates {
			if login, ok := entries[key]; ok {
				return login, true
			}
		}
	}
	return Login{}, false
}

// lookupOrder lists the keys that match, longest first: quay.io/acme/app, quay.io/acme, quay.io.
func lookupOrder(host, repository string) []string {
	key := strings.TrimSuffix(host+"/"+repository, "/")
	keys := []string{key}
	for i := strings.LastIndex(key, "/"); i >= 0; i = strings.LastIndex(key, "/") {
		key = key[:i]
		keys = append(keys, key)
	}
	return keys
}

// normaliseKey brings the spellings that docker login has used over the years to host[/path]. exact
// is false when something had to be rewritten.
//
//	https://index.docker.io/v1/ -> docker.io     https://quay.io -> quay.io     quay.io/acme -> quay.io/acme
func normaliseKey(raw string) (key string, exact bool) {
	key = strings.TrimPrefix(strings.TrimPrefix(raw, "http://"), "https://")
	if key != raw {
		key, _, _ = strings.Cut(key, "/") // with a scheme only the host counts: /v1/ is an API path
	}
	host, path, _ := strings.Cut(strings.TrimSuffix(key, "/"), "/")
	host = normaliseHost(host)
	if host == dockerHub && (path == "v1" || path == "v2") {
		path = ""
	}
	key = strings.TrimSuffix(host+"/"+path, "/")
	return key, key == raw
}

// dockerHub is the name of Docker Hub in references; dockerHubAPI is the host that answers for it.
const (
	dockerHub    = "docker.io"
	dockerHubAPI = "registry-1.docker.io"
)

func normaliseHost(host string) string {
	switch host {
	case "index.docker.io", dockerHubAPI:
		return dockerHub
	}
	return host
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
