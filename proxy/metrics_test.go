package proxy

import (
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// TestEveryOutcomeIsCountedFromTheStart, at 0, for each direction: a rate sees no first
// call of a series that begins with it. The outcomes are those that the source gives.
func TestEveryOutcomeIsCountedFromTheStart(t *testing.T) {
	given := outcomesGiven(t)
	slices.Sort(given)
	if given = slices.Compact(given); !slices.Equal(given, outcomes) {
		t.Errorf("calls get the outcomes %q, of which the start knows %q", given, outcomes)
	}
	reg := prometheus.NewRegistry()
	newMetrics(reg).trunk("main")
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "consentgate_calls_total" && m.GetCounter().GetValue() == 0 {
				there[m.GetLabel()[0].GetValue()+" "+m.GetLabel()[1].GetValue()] = true // by the labels' names
			}
		}
	}
	for _, dir := range []string{"inbound", "outbound"} {
		for _, o := range given {
			if !there[dir+" "+o] {
				t.Errorf("%s %s isn't there", dir, o)
			}
		}
	}
}

// outcomesGiven are the texts that the package's source assigns to a field outcome, and
// those that outcomeOf returns.
func outcomesGiven(t *testing.T) (out []string) {
	t.Helper()
	texts := func(n ast.Node) {
		ast.Inspect(n, func(n ast.Node) bool {
			if l, ok := n.(*ast.BasicLit); ok && l.Kind == gotoken.STRING {
				s, err := strconv.Unquote(l.Value)
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, s)
			}
			return true
		})
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(gotoken.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			outcomesIn(n, texts)
			return true
		})
	}
	return out
}

// outcomesIn shows found what a node, if it is of that kind, makes a call's outcome of.
func outcomesIn(n ast.Node, found func(ast.Node)) {
	switch n := n.(type) {
	case *ast.AssignStmt:
		for i, to := range n.Lhs {
			if s, ok := to.(*ast.SelectorExpr); ok && s.Sel.Name == "outcome" {
				found(n.Rhs[i])
			}
		}
	case *ast.KeyValueExpr:
		if k, ok := n.Key.(*ast.Ident); ok && k.Name == "outcome" {
			found(n.Value)
		}
	case *ast.FuncDecl:
		if n.Name.Name == "outcomeOf" {
			found(n.Body)
		}
	}
}
