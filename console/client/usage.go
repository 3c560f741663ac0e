package client

import (
	"fmt"
	"strings"
	"text/tabwriter"
)

// usage tells what can be done by a command.
func (c Command) usage() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\nusage:\n", c.About)
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, v := range c.Verbs {
		fmt.Fprintf(w, "  consentgate %s %s\t%s\n", c.Name, v.words(), v.About)
	}
	_ = w.Flush() // to memory
	fmt.Fprintf(&b, "\nfor all of them:\n%s\nconsentgate %s VERB --help tells the rest\n", flagLines(Common), c.Name)
	return b.String()
}

// usage tells how a verb is written.
func (v Verb) usage(command string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\nusage: consentgate %s %s [FLAGS]\n\n", v.About, command, v.words())
	if len(v.Flags) > 0 {
		b.WriteString(flagLines(v.Flags) + "\n")
	}
	b.WriteString("as for all:\n" + flagLines(Common))
	return b.String()
}

func (v Verb) words() string { return strings.Join(append([]string{v.Name}, v.Args...), " ") }

func flagLines(flags []Flag) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, f := range flags {
		fmt.Fprintf(w, "  --%s%s\t%s%s\n", f.Name, f.operand(), f.About, f.notes())
	}
	_ = w.Flush() // to memory
	return b.String()
}

func (f Flag) operand() string {
	switch f.Kind {
	case Switch:
		return ""
	case File:
		return " FILE"
	case Number:
		return " N"
	}
	return " TEXT"
}

func (f Flag) notes() (s string) {
	if len(f.Values) > 0 {
		s += ": " + strings.Join(f.Values, ", ")
	}
	if f.Default != "" {
		s += " [" + f.Default + "]"
	}
	if f.Kind == Many {
		s += "; may be given again"
	}
	if f.Required {
		s += "; needed"
	}
	return s
}
