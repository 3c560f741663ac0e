package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"

	"consentgate/console/client"
	"consentgate/internal/completion"
)

// shells are those that a script can be had for.
var shells = map[string]func(program string, commands []completion.Word) string{
	"bash": completion.Bash, "zsh": completion.Zsh, "fish": completion.Fish}

const completionUsage = `usage:
  consentgate completion bash     source <(consentgate completion bash), in .bashrc
  consentgate completion zsh      source <(consentgate completion zsh), in .zshrc
  consentgate completion fish     consentgate completion fish | source, in config.fish
`

func completionCommand(ctx context.Context, args []string, out, errs io.Writer) int {
	if len(args) != 1 || shells[args[0]] == nil {
		fmt.Fprint(errs, completionUsage)
		return exitUsage
	}
	if _, err := io.WriteString(out, shells[args[0]]("consentgate", words(ctx))); err != nil {
		return fail(errs, err)
	}
	return exitOK
}

// clientCommand is one of those over the API.
func clientCommand(name string) command {
	return func(ctx context.Context, args []string, out, errs io.Writer) int {
		return client.Run(ctx, name, args, out, errs)
	}
}

// words are all commands, with what may follow them. Those over the API have a
// table; the others say it themselves, as they do to who asks them for help.
func words(ctx context.Context) (out []completion.Word) {
	ofClient := map[string]client.Command{}
	for _, c := range client.Commands {
		ofClient[c.Name] = c
	}
	for _, name := range append(slices.Sorted(maps.Keys(commands)), "completion") {
		w := completion.Word{Name: name}
		if c, ok := ofClient[name]; ok {
			w = apiWord(c)
		} else {
			w.Flags, w.Verbs = helpOf(ctx, name)
		}
		out = append(out, w)
	}
	return out
}

func apiWord(c client.Command) completion.Word {
	w := completion.Word{Name: c.Name, About: c.About}
	for _, v := range c.Verbs {
		verb := completion.Word{Name: v.Name, About: v.About}
		for _, f := range append(slices.Clone(v.Flags), client.Common...) {
			flag := completion.Flag{Name: f.Name, About: f.About, Takes: completion.Text, Values: f.Values}
			switch f.Kind {
			case client.Switch:
				flag.Takes = completion.Nothing
			case client.File:
				flag.Takes = completion.File
			}
			verb.Flags = append(verb.Flags, flag)
		}
		w.Verbs = append(w.Verbs, verb)
	}
	return w
}

var (
	helpFlag = regexp.MustCompile(`(?m)^  -(\S+)(?: (\S+))?(?:\n    \t(.*))?$`) // as package flag prints them
	helpVerb = regexp.MustCompile(`(?m)^  consentgate (\S+) ([a-z]+) `)
)

// helpOf asks a command, and its verbs, what may follow.
func helpOf(ctx context.Context, name ...string) (flags []completion.Flag, verbs []completion.Word) {
	var help bytes.Buffer
	run(ctx, append(slices.Clone(name), "-h"), io.Discard, &help)
	for _, m := range helpFlag.FindAllStringSubmatch(help.String(), -1) {
		f := completion.Flag{Name: m[1], About: strings.TrimSpace(m[3]), Takes: completion.Text}
		switch m[2] {
		case "":
			f.Takes = completion.Nothing
		case "file":
			f.Takes = completion.File
		}
		flags = append(flags, f)
	}
	for _, m := range helpVerb.FindAllStringSubmatch(help.String(), -1) {
		if m[1] == name[0] && len(name) == 1 {
			w := completion.Word{Name: m[2]}
			w.Flags, _ = helpOf(ctx, m[1], m[2])
			verbs = append(verbs, w)
		}
	}
	return flags, verbs
}
