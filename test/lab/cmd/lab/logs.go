package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

func logsCommand(dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "logs [NAME]",
		Short: "Print what a part has printed; without a name, list the parts",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			logs := filepath.Join(*dir, "logs")
			if len(args) == 0 {
				return listLogs(cmd.OutOrStdout(), logs)
			}
			return printLog(cmd.OutOrStdout(), logs, args[0])
		},
	}
}

func listLogs(out io.Writer, dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		fmt.Fprintln(out, strings.TrimSuffix(entry.Name(), ".log"))
	}
	return nil
}

// printLog takes the name of a part or of a file: "etcd", "audit.jsonl".
func printLog(out io.Writer, dir, name string) error {
	file, err := os.Open(filepath.Join(dir, name+".log"))
	if os.IsNotExist(err) {
		file, err = os.Open(filepath.Join(dir, name))
	}
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = io.Copy(out, file)
	return err
}
