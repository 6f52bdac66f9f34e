package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/safe-mirror/safe-mirror-operator/test/lab"
)

func serveCommand(dir *string) *cobra.Command {
	cmd := &cobra.Command{
		Use:    "serve",
		Short:  "Be the supervisor of a lab (started by up)",
		Args:   cobra.NoArgs,
		Hidden: true,
	}
	options := optionFlags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		options.Dir = *dir
		options.Log = os.Stdout
		return serve(cmd.Context(), *options)
	}
	return cmd
}

// supervisor holds a lab and does what the other commands ask over the socket.
type supervisor struct {
	lab     *lab.Lab
	options lab.Options
	begun   time.Time
	end     context.CancelFunc
	busy    sync.Mutex // one reset at a time
}

// serve listens before the lab starts, so that a second "up" sees this one.
func serve(ctx context.Context, o lab.Options) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	listener, err := control{dir: o.Dir}.listen()
	if err != nil {
		return err
	}
	s := &supervisor{options: o, begun: time.Now(), end: end}
	started := make(chan struct{})
	server := &http.Server{Handler: s.handler(started), ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }()
	defer server.Close()

	s.lab, err = lab.Start(ctx, o)
	if err != nil {
		return err
	}
	defer s.lab.Stop()
	close(started)
	<-ctx.Done()
	return nil
}

func (s *supervisor) handler(started <-chan struct{}) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /state", func(w http.ResponseWriter, _ *http.Request) {
		select {
		case <-started:
			_ = json.NewEncoder(w).Encode(s.state())
		default:
			_ = json.NewEncoder(w).Encode(state{Pid: os.Getpid()})
		}
	})
	mux.HandleFunc("POST /reset", func(w http.ResponseWriter, r *http.Request) {
		<-started
		s.busy.Lock()
		defer s.busy.Unlock()
		// The reset goes on when whoever asked for it goes away: half a reset is no lab.
		if err := s.lab.Reset(context.WithoutCancel(r.Context())); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	mux.HandleFunc("POST /stop", func(http.ResponseWriter, *http.Request) { s.end() })
	return mux
}

func (s *supervisor) state() state {
	st := state{
		Ready:      true,
		Pid:        os.Getpid(),
		Since:      s.begun,
		Dir:        s.lab.Dir(),
		Kubeconfig: s.lab.Kubeconfig(),
		Env:        s.lab.Env(),
		Controller: "quick",
	}
	if s.options.Stock {
		st.Controller = "stock"
	}
	for _, p := range s.lab.Parts() {
		st.Parts = append(st.Parts, part{Name: p.Name, Pid: p.Pid(), Log: p.Log})
	}
	return st
}

// listen makes the socket. One that is there belongs to a supervisor that was killed: had it lived,
// up would have talked to it.
func (c control) listen() (net.Listener, error) {
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return nil, err
	}
	_ = os.Remove(c.socket())
	listener, err := net.Listen("unix", c.socket())
	if err != nil {
		return nil, fmt.Errorf("the supervisor's socket (a shorter --dir may help: unix allows 108 bytes): %w", err)
	}
	return listener, nil
}
