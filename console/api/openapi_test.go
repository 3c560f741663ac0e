package api_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"consentgate/console/access"
	"consentgate/console/api"
)

// described is an openapi.json that answers are held to.
type described struct {
	mux      *http.ServeMux // finds the pattern of a request
	doc      map[string]any
	compiler *jsonschema.Compiler

	mu      sync.Mutex
	schemas map[string]*jsonschema.Schema
}

// seen are the patterns and statuses of all answers that were as described.
var seen sync.Map

// TestMain sees that the tests, where all of them ran, had each answer that isn't a
// problem: one that nobody has seen is only said to be as described.
func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 && flag.Lookup("test.run").Value.String() == "" && flag.Lookup("test.skip").Value.String() == "" && flag.Lookup("test.list").Value.String() == "" {
		for _, answer := range unseen() {
			fmt.Println("described, and no test has seen it:", answer)
			code = 1
		}
	}
	os.Exit(code)
}

func unseen() (out []string) {
	raw := api.New(api.Config{}).Document()
	var doc struct {
		Paths map[string]map[string]struct{ Responses map[string]any }
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		return []string{err.Error()}
	}
	for path, item := range doc.Paths {
		for method, op := range item {
			for status := range op.Responses {
				answer := strings.ToUpper(method) + " " + path + " " + status
				if _, ok := seen.Load(answer); !ok && status < "400" && status != "304" {
					out = append(out, answer)
				}
			}
		}
	}
	return out
}

const documentURL = "https://example.com/openapi.json"

func readDocument(t *testing.T, raw []byte) *described {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	must(t, err)
	d := &described{mux: http.NewServeMux(), doc: value.(map[string]any), compiler: jsonschema.NewCompiler(), schemas: map[string]*jsonschema.Schema{}}
	d.compiler.AssertFormat()
	must(t, d.compiler.AddResource(documentURL, value))
	for pattern := range d.operations() {
		d.mux.Handle(pattern, http.NotFoundHandler())
	}
	return d
}

// operations are the described ones, by the pattern they are served under.
func (d *described) operations() map[string]map[string]any {
	out := map[string]map[string]any{}
	for path, item := range d.doc["paths"].(map[string]any) {
		for method, op := range item.(map[string]any) {
			out[strings.ToUpper(method)+" "+path] = op.(map[string]any)
		}
	}
	return out
}

// hold fails the test if an answer isn't as it is described: its status, its media
// type, its body.
func (d *described) hold(t *testing.T, method, path string, g got) {
	t.Helper()
	_, pattern := d.mux.Handler(&http.Request{Method: method, URL: &url.URL{Path: path}})
	if pattern == "" {
		if g.status < 400 && method != http.MethodOptions || g.status >= 400 && method != http.MethodHead && g.problem() == "" {
			t.Errorf("%s %s isn't described and answers %d", method, path, g.status)
		}
		return
	}
	responses := d.operations()[pattern]["responses"].(map[string]any)
	response, ok := responses[strconv.Itoa(g.status)].(map[string]any)
	if !ok {
		t.Errorf("%s answers %d, which isn't described: %s", pattern, g.status, g.body)
		return
	}
	if strings.HasPrefix(pattern, method) {
		seen.Store(pattern+" "+strconv.Itoa(g.status), true)
	}
	content, _ := response["content"].(map[string]any)
	if len(g.body) == 0 {
		if len(content) > 0 && method != http.MethodHead {
			t.Errorf("%s answers %d without a body", pattern, g.status)
		}
		return
	}
	kind, _, err := mime.ParseMediaType(g.header.Get("Content-Type"))
	must(t, err)
	media, ok := content[kind].(map[string]any)
	if !ok {
		if media, ok = content["*/*"].(map[string]any); !ok {
			t.Errorf("%s answers %d as %s, described are %v", pattern, g.status, kind, slices.Collect(maps.Keys(content)))
			return
		}
	}
	if media["schema"] == nil {
		return
	}
	at := fmt.Sprintf("%s#/paths/%s/%s/responses/%d/content/%s/schema", documentURL, escaped(strings.SplitN(pattern, " ", 2)[1]),
		strings.ToLower(strings.SplitN(pattern, " ", 2)[0]), g.status, escaped(kind))
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(g.body))
	if err == nil {
		err = d.schema(t, at).Validate(value)
	}
	if err != nil {
		t.Errorf("%s answers %d with\n%s\nwhich isn't as described: %v", pattern, g.status, g.body, err)
	}
}

// escaped is a token of a JSON pointer in a URL's fragment (RFC 6901 section 6).
func escaped(token string) string {
	return strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D", "+", "%2B").Replace(token)
}

func (d *described) schema(t *testing.T, at string) *jsonschema.Schema {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.schemas[at] == nil {
		s, err := d.compiler.Compile(at)
		must(t, err)
		d.schemas[at] = s
	}
	return d.schemas[at]
}

// TestTheDescriptionIsOpenAPI31, by the initiative's own schema.
func TestTheDescriptionIsOpenAPI31(t *testing.T) {
	k := newKit(t, options{noStore: true})
	raw, err := os.ReadFile("testdata/openapi-3.1-schema.json")
	must(t, err)
	schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	must(t, err)
	c := jsonschema.NewCompiler()
	must(t, c.AddResource("oas31.json", schema))
	oas, err := c.Compile("oas31.json")
	must(t, err)
	must(t, oas.Validate(k.doc.doc))
	broken := maps.Clone(k.doc.doc)
	broken["openapi"] = "2.0"
	if oas.Validate(broken) == nil {
		t.Error("control: another version passes")
	}
	for name := range k.doc.doc["components"].(map[string]any)["schemas"].(map[string]any) {
		k.doc.schema(t, documentURL+"#/components/schemas/"+name) // each can be compiled
	}
}

// TestEveryRouteOfTheAPIIsDescribedAndNoOther: the table of roles and the
// description are of the same routes, and say the same of who may.
func TestEveryRouteOfTheAPIIsDescribedAndNoOther(t *testing.T) {
	k := newKit(t, options{noStore: true})
	ops := k.doc.operations()
	ids := map[string]bool{}
	for pattern, op := range ops {
		if _, ok := access.Table[pattern]; !ok {
			t.Errorf("%s is described and not in the table", pattern)
		}
		id := op["operationId"].(string)
		if ids[id] {
			t.Errorf("%s: operation %s is there twice", pattern, id)
		}
		ids[id] = true
		var roles []access.Role
		b, err := json.Marshal(op["x-roles"])
		must(t, err, json.Unmarshal(b, &roles))
		for _, r := range access.Roles {
			if slices.Contains(roles, r) != access.May(pattern, r) {
				t.Errorf("%s: the description is wrong about %s", pattern, r)
			}
		}
	}
	for pattern := range access.Table {
		if _, ok := ops[pattern]; !ok && strings.Contains(pattern, " /api/") {
			t.Errorf("%s isn't described", pattern)
		}
	}
}

// TestEveryNamedProblemHasAStatus: what routes say that they may answer exists.
func TestEveryNamedProblemHasAStatus(t *testing.T) {
	k := newKit(t, options{noStore: true})
	for pattern, op := range k.doc.operations() {
		for status := range op["responses"].(map[string]any) {
			if n, err := strconv.Atoi(status); err != nil || http.StatusText(n) == "" {
				t.Errorf("%s: a problem has status %s", pattern, status)
			}
		}
	}
}
