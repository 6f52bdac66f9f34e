package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/safe-mirror/safe-mirror-operator/test/lab"
)

func downCommand(dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "End the lab and remove its directory",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return down(cmd.Context(), *dir)
		},
	}
}

// down also cleans up after a supervisor that was killed; its processes died with it.
func down(ctx context.Context, dir string) error {
	c := control{dir: dir}
	if s, err := c.state(ctx); err == nil {
		if _, err := c.request(ctx, http.MethodPost, "/stop"); err != nil {
			return err
		}
		if err := lab.Eventually(ctx, 30*time.Second, "the supervisor does not end", processEnded(s.Pid)); err != nil {
			return err
		}
	}
	return lab.Remove(dir)
}

// processEnded says whether no process has that number. A zombie, which only waits for its parent
// to look, is gone.
func processEnded(pid int) func(context.Context) (bool, string, error) {
	return func(context.Context) (bool, string, error) {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		return err != nil || bytes.Contains(status, []byte("State:\tZ")), fmt.Sprintf("process %d runs", pid), nil
	}
}

func resetCommand(dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "reset",
		Short: "Bring the lab back to the state after up",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			begun := time.Now()
			if _, err := (control{dir: *dir}).request(cmd.Context(), http.MethodPost, "/reset"); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "reset in %.1f s\n", time.Since(begun).Seconds())
			return nil
		},
	}
}
