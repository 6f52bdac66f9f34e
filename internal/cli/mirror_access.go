package cli

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
)

// client makes the registry client from the flags. The proof is taken with the credentials for the
// destination and those for the sources after them: what exactly a node may read is proven with its
// pull secret as --authfile, and --verify-only.
func (r *mirrorRun) client() (*mirror.Client, error) {
	source, err := r.credentials()
	if err != nil {
		return nil, err
	}
	push := source
	node := source
	if r.destAuthfile != "" {
		doc, err := readAuthfile("--dest-authfile", r.destAuthfile)
		if err != nil {
			return nil, err
		}
		push = [][]byte{doc}
		node = append([][]byte{doc}, source...)
	}
	trust, err := readCAs(r.cas)
	if err != nil {
		return nil, err
	}
	access := func(docs [][]byte) (mirror.Access, error) {
		keychain, err := mirror.ParseKeychain(docs...)
		return mirror.Access{
			Keychain: keychain, CAs: trust.byHost, ExtraCAs: trust.allHosts, Insecure: r.allowsInsecure,
			Timeout: min(r.timeout, registryReadTimeout),
		}, err
	}
	limit := mirror.Limits{Requests: r.requests}
	if limit.Bytes, err = r.bytesPerSecond(); err != nil {
		return nil, err
	}
	accesses := mirror.Accesses{Limits: func(string) mirror.Limits { return limit }}
	for to, docs := range map[*mirror.Access][][]byte{&accesses.Source: source, &accesses.Push: push,
		&accesses.Node: node} {
		if *to, err = access(docs); err != nil {
			return nil, err
		}
	}
	return mirror.NewClient(accesses), nil
}

// registryReadTimeout is how long a registry may go without a word, where --timeout is not shorter.
const registryReadTimeout = 30 * time.Second

// allowsInsecure tells whether one of --insecure covers a repository.
func (r *mirrorRun) allowsInsecure(repository string) bool {
	return slices.ContainsFunc(r.insecure, func(location string) bool {
		rest, ok := strings.CutPrefix(repository, strings.TrimSuffix(location, "/"))
		return ok && (rest == "" || rest[0] == '/')
	})
}

// credentials are the documents for reading, most important first.
func (r *mirrorRun) credentials() ([][]byte, error) {
	if r.authfile != "" {
		doc, err := readAuthfile("--authfile", r.authfile)
		return [][]byte{doc}, err
	}
	if file := r.getenv("REGISTRY_AUTH_FILE"); file != "" {
		doc, err := readAuthfile("$REGISTRY_AUTH_FILE", file)
		return [][]byte{doc}, err
	}
	var docs [][]byte
	for _, file := range defaultAuthfiles(r.getenv) {
		doc, err := readAuthfile("credentials", file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		docs = append(docs, doc)
	}
	return docs, nil
}

// defaultAuthfiles are the files in which the tools around podman look, all of them, in this order.
// Source: github.com/containers/image/v5 pkg/docker/config getAuthFilePaths.
func defaultAuthfiles(getenv func(string) string) []string {
	runtimeDir := filepath.Join("/run/containers", fmt.Sprint(os.Getuid()))
	if dir := getenv("XDG_RUNTIME_DIR"); dir != "" {
		runtimeDir = filepath.Join(dir, "containers")
	}
	home := getenv("HOME")
	configDir, dockerDir := filepath.Join(home, ".config"), filepath.Join(home, ".docker")
	if dir := getenv("XDG_CONFIG_HOME"); dir != "" {
		configDir = dir
	}
	if dir := getenv("DOCKER_CONFIG"); dir != "" {
		dockerDir = dir
	}
	return []string{
		filepath.Join(runtimeDir, "auth.json"),
		filepath.Join(configDir, "containers", "auth.json"),
		filepath.Join(dockerDir, "config.json"),
	}
}

// readAuthfile reads one file of credentials and makes sure that it is one.
func readAuthfile(flag, file string) ([]byte, error) {
	doc, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	var bad *mirror.KeychainError
	if _, err := mirror.ParseKeychain(doc); errors.As(err, &bad) && bad.Entry != "" {
		return nil, fmt.Errorf("%s %s: the auth of entry %q is not base64; log in to it again", flag, file, bad.Entry)
	} else if err != nil {
		return nil, fmt.Errorf(`%s %s: is not a docker configuration of the form {"auths":{…}}`, flag, file)
	}
	return doc, nil
}

// trust is what --ca adds to the roots of the system.
type trust struct {
	allHosts []byte
	byHost   map[string][]byte
}

func readCAs(paths []string) (trust, error) {
	out := trust{byHost: map[string][]byte{}}
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return trust{}, fmt.Errorf("--ca: %w", err)
		}
		if info.IsDir() {
			err = out.addDir(path)
		} else {
			err = addPEM(&out.allHosts, path)
		}
		if err != nil {
			return trust{}, err
		}
	}
	return out, nil
}

// addDir reads a directory of the form of /etc/containers/certs.d: HOST[:PORT]/*.crt.
func (t *trust) addDir(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*", "*.crt"))
	if err != nil {
		return fmt.Errorf("--ca %s: %w", dir, err)
	}
	if len(files) == 0 {
		return fmt.Errorf("--ca %s: holds no HOST[:PORT]/*.crt; give the PEM file itself to trust it for every registry", dir)
	}
	for _, file := range files {
		host := filepath.Base(filepath.Dir(file))
		pem := t.byHost[host]
		if err := addPEM(&pem, file); err != nil {
			return err
		}
		t.byHost[host] = pem
	}
	return nil
}

func addPEM(to *[]byte, file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("--ca: %w", err)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(data) {
		return fmt.Errorf("--ca %s: holds no certificate in PEM form", file)
	}
	*to = append(append(*to, data...), '\n')
	return nil
}
