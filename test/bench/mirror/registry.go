package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// registry is a Distribution registry in a process of its own, with its storage in a fresh
// directory.
type registry struct {
	name, address, debug string
	cmd                  *exec.Cmd
	log                  string
	ended                chan struct{}
}

// registryConfig is the example configuration that Distribution ships, with the counters of its
// debug server switched on and the logs off.
const registryConfig = `version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage:
  cache: {blobdescriptor: inmemory}
  filesystem: {rootdirectory: %q}
  tag: {concurrencylimit: 8}
  maintenance: {uploadpurging: {enabled: false}}
http:
  addr: %s
  secret: not-a-secret-on-loopback
  debug: {addr: %s, prometheus: {enabled: true, path: /metrics}}
`

// startRegistry starts a registry with empty storage and waits until it answers.
func (b *bench) startRegistry(ctx context.Context, name string) (*registry, error) {
	dir, err := b.scratch.fresh(name)
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	r := &registry{name: name, address: ports[0], debug: ports[1], ended: make(chan struct{})}
	r.log = filepath.Join(b.scratch.logs(), "registry-"+name+".log")
	config := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, registryConfig, filepath.Join(dir, "storage"), r.address, r.debug),
		0o600); err != nil {
		return nil, err
	}
	output, err := os.Create(r.log)
	if err != nil {
		return nil, err
	}
	defer output.Close()
	r.cmd = exec.Command(b.binary("registry"), "serve", config)
	r.cmd.Env = []string{"OTEL_TRACES_EXPORTER=none"} // else it looks for a collector on the loopback
	r.cmd.Stdout, r.cmd.Stderr = output, output
	if err := b.processes.start(r.cmd); err != nil {
		return nil, err
	}
	go func() {
		_ = r.cmd.Wait()
		close(r.ended)
	}()
	return r, r.waitReady(ctx)
}

// freePorts finds addresses that nobody listens on. The registry cannot be asked which port it
// took.
func freePorts(n int) ([]string, error) {
	var addresses []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // at the end: the ports must differ
		addresses = append(addresses, l.Addr().String())
	}
	return addresses, nil
}

func (r *registry) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		if _, err := r.requests(ctx); err == nil {
			if err = get(ctx, "http://"+r.address+"/", func(io.Reader) error { return nil }); err == nil {
				return nil
			}
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-r.ended:
			return fmt.Errorf("the registry %s ended: %s", r.name, lastLines(r.log, 5))
		case <-ctx.Done():
			return fmt.Errorf("the registry %s does not answer at %s: %w", r.name, r.address, context.Cause(ctx))
		}
	}
}

// stop ends the registry and waits for it.
func (r *registry) stop() {
	select {
	case <-r.ended:
		return
	default:
	}
	_ = syscall.Kill(-r.cmd.Process.Pid, syscall.SIGKILL)
	<-r.ended
}

// counts are requests by method.
type counts map[string]int

func (c counts) total() (sum int) {
	for _, n := range c {
		sum += n
	}
	return sum
}

func (c counts) minus(before counts) counts {
	difference := counts{}
	for method, n := range c {
		if n -= before[method]; n != 0 {
			difference[method] = n
		}
	}
	return difference
}

// requests gives how many requests the registry has answered since it started, by method, from its
// own counters.
func (r *registry) requests(ctx context.Context) (counts, error) {
	var found counts
	err := get(ctx, "http://"+r.debug+"/metrics", func(body io.Reader) (err error) {
		found, err = parseRequests(body)
		return err
	})
	return found, err
}

// requestsTotal matches a line such as:
// registry_http_requests_total{code="202",handler="blob_upload",method="post"} 366
var requestsTotal = regexp.MustCompile(`^registry_http_requests_total\{.*method="([a-z]+)".*\} ([0-9.e+]+)$`)

func parseRequests(body io.Reader) (counts, error) {
	found := counts{}
	lines := bufio.NewScanner(body)
	for lines.Scan() {
		if m := requestsTotal.FindStringSubmatch(lines.Text()); m != nil {
			n, err := strconv.ParseFloat(m[2], 64)
			if err != nil {
				return nil, fmt.Errorf("%q: %w", lines.Text(), err)
			}
			found[strings.ToUpper(m[1])] += int(n)
		}
	}
	return found, lines.Err()
}

func get(ctx context.Context, url string, read func(io.Reader) error) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", url, response.Status)
	}
	return read(response.Body)
}
