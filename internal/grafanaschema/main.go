// Command grafanaschema holds a dashboard against Grafana's own model of what one
// is, without a Grafana. It is a module of its own, so that the program's has
// nothing of it.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: grafanaschema DASHBOARD")
		os.Exit(2)
	}
	if err := check(os.Args[1]); err != nil {
		fmt.Fprintf(os.Stderr, "%s isn't as Grafana wants it:\n%v\n", os.Args[1], err)
		os.Exit(1)
	}
	fmt.Println(os.Args[1], "is a dashboard")
}

func check(path string) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	plugins.RegisterDefaultPlugins() // else panels' options and targets pass unread
	var d dashboard.Dashboard
	err = d.UnmarshalJSONStrict(raw)
	var faults cog.BuildErrors
	if errors.As(err, &faults) && len(faults) == 0 { // it returns an empty list for none
		err = nil
	}
	return errors.Join(err, d.Validate())
}
