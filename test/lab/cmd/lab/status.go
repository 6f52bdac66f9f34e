package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func statusCommand(dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show the lab's processes, pools and nodes",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := control{dir: *dir}.state(cmd.Context())
			if err != nil {
				return err
			}
			if !s.Ready {
				return fmt.Errorf("the lab in %s is starting", *dir)
			}
			return printStatus(cmd.Context(), cmd.OutOrStdout(), s)
		},
	}
}

func printStatus(ctx context.Context, out io.Writer, s state) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	defer w.Flush()
	fmt.Fprintf(w, "up for %s, %s machine config controller, supervisor %d\nKUBECONFIG=%s\n\n",
		time.Since(s.Since).Round(time.Second), s.Controller, s.Pid, s.Kubeconfig)
	fmt.Fprintln(w, "PART\tPID\tLOG")
	for _, p := range s.Parts {
		fmt.Fprintf(w, "%s\t%d\t%s\n", p.Name, p.Pid, p.Log)
	}
	c, err := newClient(s.Kubeconfig)
	if err != nil {
		return err
	}
	if err := printPools(ctx, w, c); err != nil {
		return err
	}
	return printNodes(ctx, w, c)
}

func newClient(kubeconfig string) (client.Client, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	if err := mcfgv1.Install(scheme); err != nil {
		return nil, err
	}
	return client.New(config, client.Options{Scheme: scheme})
}

func printPools(ctx context.Context, w io.Writer, c client.Client) error {
	pools := &mcfgv1.MachineConfigPoolList{}
	if err := c.List(ctx, pools); err != nil {
		return err
	}
	fmt.Fprintln(w, "\nPOOL\tCONFIG\tUPDATED\tPAUSED\tCONDITIONS")
	for _, pool := range pools.Items {
		var conditions []string
		for _, condition := range pool.Status.Conditions {
			if condition.Status == corev1.ConditionTrue {
				conditions = append(conditions, string(condition.Type))
			}
		}
		fmt.Fprintf(w, "%s\t%s\t%d of %d\t%t\t%s\n", pool.Name, pool.Spec.Configuration.Name,
			pool.Status.UpdatedMachineCount, pool.Status.MachineCount, pool.Spec.Paused, strings.Join(conditions, ","))
	}
	return nil
}

const mcoPrefix = "machineconfiguration.openshift.io/"

func printNodes(ctx context.Context, w io.Writer, c client.Client) error {
	nodes := &corev1.NodeList{}
	if err := c.List(ctx, nodes); err != nil {
		return err
	}
	fmt.Fprintln(w, "\nNODE\tREADY\tCORDONED\tSTATE\tCONFIG\tDESIRED")
	for _, node := range nodes.Items {
		ready := corev1.ConditionUnknown
		for _, condition := range node.Status.Conditions {
			if condition.Type == corev1.NodeReady {
				ready = condition.Status
			}
		}
		desired := node.Annotations[mcoPrefix+"desiredConfig"]
		if desired == node.Annotations[mcoPrefix+"currentConfig"] {
			desired = "="
		}
		fmt.Fprintf(w, "%s\t%s\t%t\t%s\t%s\t%s\n", node.Name, ready, node.Spec.Unschedulable,
			node.Annotations[mcoPrefix+"state"], node.Annotations[mcoPrefix+"currentConfig"], desired)
	}
	return nil
}
