// Package completion writes what shells need to complete a program's commands:
// scripts for bash, zsh and fish, made of the same table.
package completion

import (
	"fmt"
	"strings"
)

// Word is a command, or a verb behind one.
type Word struct {
	Name, About string
	Verbs       []Word
	Flags       []Flag
}

// Flag is an option, written as --NAME.
type Flag struct {
	Name, About string
	Takes       Operand
	Values      []string // of Text: those that there are
}

// Operand is what follows a flag.
type Operand uint8

// Operands.
const (
	Nothing Operand = iota
	Text
	File
)

// place is where in a command line something may stand: the words before it.
type place struct {
	path  string
	words []Word
	flags []Flag
}

// places are all there are; the first is the program's own.
func places(commands []Word) []place {
	out := []place{{words: commands}}
	for _, c := range commands {
		out = append(out, place{c.Name, c.Verbs, c.Flags})
		for _, v := range c.Verbs {
			out = append(out, place{c.Name + " " + v.Name, nil, v.Flags})
		}
	}
	return out
}

func (p place) candidates() string {
	var out []string
	for _, w := range p.words {
		out = append(out, w.Name)
	}
	for _, f := range p.flags {
		out = append(out, "--"+f.Name)
	}
	return strings.Join(out, " ")
}

// cases writes the two case statements that bash and zsh share: what a flag takes,
// by place and flag, and what may stand at a place.
func cases(commands []Word) (operands, candidates string) {
	var o, c strings.Builder
	for _, p := range places(commands) {
		for _, f := range p.flags {
			switch {
			case f.Takes == File:
				fmt.Fprintf(&o, "\t\t'%s --%s') files=1 ;;\n", p.path, f.Name)
			case f.Takes == Text:
				fmt.Fprintf(&o, "\t\t'%s --%s') choices='%s' ;;\n", p.path, f.Name, strings.Join(f.Values, " "))
			}
		}
		fmt.Fprintf(&c, "\t\t'%s') choices='%s' ;;\n", p.path, p.candidates())
	}
	return o.String(), c.String()
}

// common finds the place in a command line, an array from 0 on in both shells, and
// what may stand there.
const common = `	local at='' i files='' choices='' known=1
	for ((i = 1; i < n && i <= 2; i++)); do
		case "$at ${line[i]}" in
		%s) at="${at:+$at }${line[i]}" ;;
		*) break ;;
		esac
	done
	case "$at $before" in
%s		*) known='' ;;
	esac
	if [[ -z $known ]]; then
		case "$at" in
%s		esac
	fi
`

// body is what bash and zsh share, in n, line and before.
func body(commands []Word) string {
	var steps []string
	for _, p := range places(commands)[1:] {
		command, verb, _ := strings.Cut(p.path, " ")
		if verb == "" {
			steps = append(steps, "' "+command+"'")
		} else {
			steps = append(steps, "'"+p.path+"'")
		}
	}
	operands, candidates := cases(commands)
	return fmt.Sprintf(common, strings.Join(steps, "|"), operands, candidates)
}

// Bash is a script to be sourced by bash.
func Bash(program string, commands []Word) string {
	return fmt.Sprintf(`# bash completion of %[1]s: source <(%[1]s completion bash)
_%[1]s() {
	local -a line=("${COMP_WORDS[@]}")
	local n=$COMP_CWORD current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}
%[2]s	COMPREPLY=()
	if [[ -n $files ]]; then
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$current")
	else
		mapfile -t COMPREPLY < <(compgen -W "$choices" -- "$current")
	fi
}
complete -F _%[1]s %[1]s
`, program, body(commands))
}

// Zsh is a script to be sourced by zsh, or to be put into its fpath as _PROGRAM.
func Zsh(program string, commands []Word) string {
	return fmt.Sprintf(`#compdef %[1]s
# zsh completion of %[1]s: source <(%[1]s completion zsh)
_%[1]s() {
	setopt localoptions ksharrays
	local -a line=("${words[@]}")
	local n=$((CURRENT - 1)) before=${words[CURRENT-2]}
%[2]s	if [[ -n $files ]]; then
		_files
	else
		compadd -- ${=choices}
	fi
}
if [[ ${funcstack[1]} == _%[1]s ]]; then
	_%[1]s "$@"
else
	compdef _%[1]s %[1]s
fi
`, program, body(commands))
}

// Fish is a script to be sourced by fish.
func Fish(program string, commands []Word) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# fish completion of %[1]s: %[1]s completion fish | source\ncomplete -c %[1]s -f\n", program)
	for _, c := range commands {
		fmt.Fprintf(&b, "complete -c %s -n __fish_use_subcommand -a %s%s\n", program, c.Name, about(c.About))
		in := "__fish_seen_subcommand_from " + c.Name
		var verbs []string
		for _, v := range c.Verbs {
			verbs = append(verbs, v.Name)
		}
		for _, v := range c.Verbs {
			fmt.Fprintf(&b, "complete -c %s -n '%s; and not __fish_seen_subcommand_from %s' -a %s%s\n", program, in, strings.Join(verbs, " "), v.Name, about(v.About))
			fishFlags(&b, program, in+"; and __fish_seen_subcommand_from "+v.Name, v.Flags)
		}
		fishFlags(&b, program, in, c.Flags)
	}
	return b.String()
}

func fishFlags(b *strings.Builder, program, when string, flags []Flag) {
	for _, f := range flags {
		fmt.Fprintf(b, "complete -c %s -n '%s' -l %s%s", program, when, f.Name, about(f.About))
		switch {
		case f.Takes == File:
			b.WriteString(" -r -F")
		case f.Takes == Text && len(f.Values) > 0:
			fmt.Fprintf(b, " -x -a '%s'", strings.Join(f.Values, " "))
		case f.Takes == Text:
			b.WriteString(" -x")
		}
		b.WriteByte('\n')
	}
}

// about is a description, quoted for fish.
func about(s string) string {
	if s == "" {
		return ""
	}
	return " -d '" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}
