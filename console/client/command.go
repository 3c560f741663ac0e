package client

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"
)

// Exit codes.
const (
	exitOK    = 0
	exitFail  = 1
	exitUsage = 2
)

// Command is a word behind the program's name, with what can be done by it.
type Command struct {
	Name  string
	About string
	Verbs []Verb
}

// Verb is one thing to do.
type Verb struct {
	Name  string
	Args  []string // what follows it, in capitals
	About string
	Flags []Flag
	run   func(*task) error
}

// Kind is what a flag takes.
type Kind uint8

// Kinds of flags.
const (
	Text   Kind = iota
	Number      // not negative
	File        // a file's name
	Switch      // nothing
	Many        // text, any number of times
)

// Flag is an option of a verb.
type Flag struct {
	Name     string
	Kind     Kind
	Values   []string // those that there are; none: any
	Required bool
	Default  string
	About    string
}

// Common are the flags that every verb has.
var Common = []Flag{
	{Name: "server", About: "the gate, https://HOST:PORT; else $CONSENTGATE_SERVER"},
	{Name: "token-file", Kind: File, About: "file with your token, - for standard input; else $CONSENTGATE_TOKEN_FILE"},
	{Name: "ca", Kind: File, About: "PEM file of who signed the gate's certificate; else $CONSENTGATE_CA, or whom this machine trusts"},
	{Name: "json", Kind: Switch, About: "what the gate says, for scripts"},
}

// Commands are all there are.
var Commands = []Command{recordings, requests, approvals, calls, audit, system}

// task is a verb that is being carried out.
type task struct {
	ctx    context.Context
	client *Client
	verb   Verb
	args   []string
	given  *flag.FlagSet
	many   map[string]*list
	out    io.Writer
	errs   io.Writer
}

// usageError is what is wrong with how a command was written.
type usageError string

func (e usageError) Error() string { return string(e) }

func wrong(format string, args ...any) error { return usageError(fmt.Sprintf(format, args...)) }

// Run carries out a command: args are the verb and what follows. It returns the
// program's exit code; what went wrong has been said.
func Run(ctx context.Context, name string, args []string, out, errs io.Writer) int {
	c := Commands[slices.IndexFunc(Commands, func(c Command) bool { return c.Name == name })]
	if len(args) == 0 {
		fmt.Fprint(errs, c.usage())
		return exitUsage
	}
	if isHelp(args[0]) {
		fmt.Fprint(out, c.usage())
		return exitOK
	}
	i := slices.IndexFunc(c.Verbs, func(v Verb) bool { return v.Name == args[0] })
	if i < 0 {
		fmt.Fprintf(errs, "consentgate: there is no %s %s\n\n%s", name, args[0], c.usage())
		return exitUsage
	}
	v := c.Verbs[i]
	if slices.ContainsFunc(args[1:], isHelp) {
		fmt.Fprint(out, v.usage(name))
		return exitOK
	}
	return v.carryOut(ctx, name, args[1:], out, errs)
}

func isHelp(s string) bool { return s == "help" || s == "-h" || s == "-help" || s == "--help" }

func (v Verb) carryOut(ctx context.Context, name string, args []string, out, errs io.Writer) int {
	t := &task{ctx: ctx, verb: v, out: out, errs: errs}
	err := t.parse(args)
	if err == nil {
		t.client, err = New(Config{t.or("server", "CONSENTGATE_SERVER"), t.or("token-file", "CONSENTGATE_TOKEN_FILE"), t.or("ca", "CONSENTGATE_CA")})
	}
	if err == nil {
		err = v.run(t)
	}
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(errs, "consentgate %s %s: %v\n", name, v.Name, err)
	var usage usageError
	if errors.As(err, &usage) {
		fmt.Fprintf(errs, "try: consentgate %s %s --help\n", name, v.Name)
		return exitUsage
	}
	return exitFail
}

// list is a flag that may be given several times.
type list []string

func (l *list) String() string     { return strings.Join(*l, " ") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

// parse reads flags and arguments, in whatever order they come.
func (t *task) parse(args []string) error {
	f := flag.NewFlagSet(t.verb.Name, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	t.given, t.many = f, map[string]*list{}
	for _, d := range t.verb.all() {
		switch d.Kind {
		case Switch:
			f.Bool(d.Name, false, "")
		case Number:
			f.Uint(d.Name, 0, "")
		case Many:
			t.many[d.Name] = &list{}
			f.Var(t.many[d.Name], d.Name, "")
		default:
			f.String(d.Name, d.Default, "")
		}
		if d.Default != "" {
			if err := f.Set(d.Name, d.Default); err != nil {
				panic("client: internal error: " + err.Error())
			}
		}
	}
	for len(args) > 0 {
		if err := f.Parse(args); err != nil {
			return usageError(err.Error())
		}
		if args = f.Args(); len(args) > 0 {
			t.args, args = append(t.args, args[0]), args[1:]
		}
	}
	return t.check()
}

func (t *task) check() error {
	want := t.verb.Args
	if len(t.args) > len(want) {
		return wrong("%q isn't expected", t.args[len(want)])
	}
	if len(t.args) < len(want) || slices.Contains(t.args, "") {
		return usageError(strings.Join(want[min(len(t.args), len(want)-1):], " ") + " is missing")
	}
	for _, d := range t.verb.all() {
		v := t.text(d.Name)
		if d.Required && v == "" {
			return usageError("--" + d.Name + " is missing: " + d.About)
		}
		if v != "" && len(d.Values) > 0 && !slices.Contains(d.Values, v) {
			return wrong("--%s: %q is none of %s", d.Name, v, strings.Join(d.Values, ", "))
		}
	}
	for _, name := range []string{"server", "token-file"} {
		if t.or(name, environment(name)) == "" {
			return wrong("--%s is missing, and $%s isn't set", name, environment(name))
		}
	}
	return nil
}

func environment(flag string) string {
	return "CONSENTGATE_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// text is a flag's value; "" where it wasn't given.
func (t *task) text(name string) string { return t.given.Lookup(name).Value.String() }

func (t *task) is(name string) bool { return t.text(name) == "true" }

func (t *task) or(name, variable string) string {
	if v := t.text(name); v != "" {
		return v
	}
	return os.Getenv(variable)
}

// query has those of the flags that were given, by the API's names.
func (t *task) query(names ...string) url.Values {
	q := url.Values{}
	for _, n := range names {
		api := strings.ReplaceAll(n, "-", "_")
		if l := t.many[n]; l != nil {
			if len(*l) > 0 {
				q[api] = *l
			}
		} else if v := t.text(n); v != "" && v != "false" {
			q.Set(api, v)
		}
	}
	return q
}

// body is the same as an object to send.
func (t *task) body(names ...string) map[string]any {
	out := map[string]any{}
	for _, n := range names {
		api := strings.ReplaceAll(n, "-", "_")
		switch l := t.many[n]; {
		case l != nil && len(*l) > 0:
			out[api] = *l
		case t.text(n) == "true":
			out[api] = true
		case l == nil && t.text(n) != "" && t.text(n) != "false":
			out[api] = t.text(n)
		}
	}
	return out
}

// path makes a path of the API of segments.
func path(segments ...string) string {
	out := "/api/v1"
	for _, s := range segments {
		out += "/" + url.PathEscape(s)
	}
	return out
}

// all are a verb's own flags and the common ones.
func (v Verb) all() []Flag { return append(slices.Clone(v.Flags), Common...) }
