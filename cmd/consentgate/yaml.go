package main

import (
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Problem is one thing wrong with a configuration file.
type Problem struct {
	File    string
	Line    int
	Warning bool
	Text    string // key, offending value, what is allowed
}

func (p Problem) String() string {
	kind := ""
	if p.Warning {
		kind = "warning: "
	}
	return fmt.Sprintf("%s:%d: %s%s", p.File, p.Line, kind, p.Text)
}

// Problems are all there are, by line.
type Problems []Problem

// Sound reports whether there are warnings at most.
func (ps Problems) Sound() bool {
	return !slices.ContainsFunc(ps, func(p Problem) bool { return !p.Warning })
}

func (ps Problems) String() string {
	var b strings.Builder
	for _, p := range ps {
		fmt.Fprintln(&b, p)
	}
	return b.String()
}

// reader takes a YAML tree apart and notes every problem instead of stopping at
// the first. Values that don't parse keep their default.
type reader struct {
	file     string
	problems Problems
	wrong    map[string]bool // paths with an error
}

// errorf notes an error, but no second one of the same path: a value that doesn't
// parse isn't missing, too.
func (r *reader) errorf(n *yaml.Node, path, format string, args ...any) {
	if r.wrong[path] {
		return
	}
	if r.wrong == nil {
		r.wrong = map[string]bool{}
	}
	r.wrong[path] = true
	r.note(n, false, path, format, args...)
}

func (r *reader) warnf(n *yaml.Node, path, format string, args ...any) {
	r.note(n, true, path, format, args...)
}

func (r *reader) note(n *yaml.Node, warning bool, path, format string, args ...any) {
	line := 1
	if n != nil {
		line = n.Line
	}
	r.problems = append(r.problems, Problem{r.file, line, warning, path + ": " + fmt.Sprintf(format, args...)})
}

func (r *reader) sorted() Problems {
	sort.SliceStable(r.problems, func(i, j int) bool { return r.problems[i].Line < r.problems[j].Line })
	return r.problems
}

// fields are a mapping's keys and what reads them.
type fields map[string]func(n *yaml.Node, path string)

// mapping reads a mapping; a key that isn't among the fields, or comes twice, is
// an error.
func (r *reader) mapping(n *yaml.Node, path string, fs fields) {
	n = resolve(n)
	if n.Kind != yaml.MappingNode {
		r.errorf(n, path, "%s isn't a mapping of keys: %s", show(n), strings.Join(keysOf(fs), ", "))
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		at := join(path, k.Value)
		read, known := fs[k.Value]
		switch line, twice := seen[k.Value]; {
		case twice:
			r.errorf(k, at, "is there twice, first on line %d", line)
		case !known:
			r.errorf(k, at, "unknown key%s; known here: %s", suggest(k.Value, keysOf(fs)), strings.Join(keysOf(fs), ", "))
		default:
			read(v, at)
		}
		seen[k.Value] = k.Line
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// at is the path of a list's item.
func at(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

// resolve follows an alias. Depth is bounded by YAML itself: an alias can only
// name a node before it.
func resolve(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

func keysOf(fs fields) []string {
	out := make([]string, 0, len(fs))
	for k := range fs {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

// suggest finds the known key that was perhaps meant.
func suggest(got string, known []string) string {
	for _, k := range known {
		if distance(strings.ToLower(got), k) <= 2 {
			return fmt.Sprintf(" (did you mean %q?)", k)
		}
	}
	return ""
}

// distance is Levenshtein's, over short words.
func distance(a, b string) int {
	if len(a) > 32 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := before
			if a[i-1] != b[j-1] {
				cost++
			}
			before = row[j]
			row[j] = min(cost, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}

// show is a value as it stands in the file, cut short.
func show(n *yaml.Node) string {
	if n.Kind == yaml.ScalarNode {
		v := n.Value
		if len(v) > 60 {
			v = v[:60] + "…"
		}
		return strconv.Quote(v)
	}
	return map[yaml.Kind]string{yaml.MappingNode: "a mapping", yaml.SequenceNode: "a list"}[n.Kind]
}

// each reads a list.
func (r *reader) each(n *yaml.Node, path string, read func(n *yaml.Node, path string)) {
	n = resolve(n)
	if n.Kind != yaml.SequenceNode {
		r.errorf(n, path, "%s isn't a list", show(n))
		return
	}
	for i, item := range n.Content {
		read(item, at(path, i))
	}
}

// scalar gives a scalar's text; false and a problem if it isn't one.
func (r *reader) scalar(n *yaml.Node, path string) (string, bool) {
	n = resolve(n)
	if n.Kind != yaml.ScalarNode {
		r.errorf(n, path, "%s isn't a single value", show(n))
		return "", false
	}
	if n.Tag == "!!null" {
		return "", true
	}
	return n.Value, true
}

// text is a field that is any text.
func (r *reader) text(to *string) func(*yaml.Node, string) {
	return func(n *yaml.Node, path string) {
		if v, ok := r.scalar(n, path); ok {
			*to = v
		}
	}
}

// parsed is a field whose text parse reads; its error says what is allowed.
func parsed[T any](r *reader, to *T, parse func(string) (T, error)) func(*yaml.Node, string) {
	return func(n *yaml.Node, path string) {
		v, ok := r.scalar(n, path)
		if !ok {
			return
		}
		got, err := parse(v)
		if err != nil {
			r.errorf(n, path, "%s: %v", show(resolve(n)), err)
			return
		}
		*to = got
	}
}

// oneOf is a field with a few allowed words.
func oneOf[T ~string](r *reader, to *T, allowed ...T) func(*yaml.Node, string) {
	return parsed(r, to, func(v string) (T, error) {
		if slices.Contains(allowed, T(v)) {
			return T(v), nil
		}
		words := make([]string, len(allowed))
		for i, a := range allowed {
			words[i] = string(a)
		}
		return "", fmt.Errorf("allowed: %s", strings.Join(words, ", "))
	})
}

func parseBool(v string) (bool, error) {
	switch v {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, fmt.Errorf("allowed: true, false")
}

// parseDuration reads 8s, 90d, 1d12h.
func parseDuration(v string) (time.Duration, error) {
	wrong := fmt.Errorf("a duration is a number and a unit, for instance 500ms, 8s, 30m, 12h or 90d")
	rest, total := v, time.Duration(0)
	if days, after, ok := strings.Cut(v, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return 0, wrong
		}
		total, rest = time.Duration(n)*24*time.Hour, after
	}
	if rest != "" {
		d, err := time.ParseDuration(rest)
		if err != nil || d < 0 {
			return 0, wrong
		}
		total += d
	}
	if v == "" {
		return 0, wrong
	}
	return total, nil
}

// between bounds a parser's value.
func between[T int | time.Duration](low, high T, parse func(string) (T, error)) func(string) (T, error) {
	return func(v string) (T, error) {
		got, err := parse(v)
		if err == nil && (got < low || got > high) {
			err = fmt.Errorf("allowed: %v to %v", low, high)
		}
		return got, err
	}
}
