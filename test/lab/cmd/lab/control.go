package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/test/lab"
)

// state is what a supervisor says of itself and its lab.
type state struct {
	Ready      bool
	Pid        int
	Since      time.Time
	Dir        string
	Kubeconfig string
	Env        []string
	Controller string // quick or stock
	Parts      []part
}

type part struct {
	Name string
	Pid  int
	Log  string
}

// control talks to the supervisor of the lab in a directory.
type control struct {
	dir string
}

func (c control) socket() string  { return filepath.Join(c.dir, lab.ControlSocket) }
func (c control) logFile() string { return filepath.Join(c.dir, "logs", lab.SupervisorLog) }

func (c control) state(ctx context.Context) (state, error) {
	var s state
	body, err := c.request(ctx, http.MethodGet, "/state")
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(body, &s)
}

func (c control) request(ctx context.Context, method, path string) ([]byte, error) {
	dialer := &net.Dialer{}
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", c.socket())
		},
	}}
	request, err := http.NewRequestWithContext(ctx, method, "http://lab"+path, nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("no lab is up in %s: run lab up (%w)", c.dir, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s", strings.TrimSpace(string(body)))
	}
	return body, err
}
