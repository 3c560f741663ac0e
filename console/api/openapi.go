package api

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"consentgate/console/access"
	"consentgate/console/office"
)

// schemas are those of what is sent and answered (JSON Schema 2020-12).
//
//go:embed schemas.json
var schemas []byte

type object = map[string]any

// document makes openapi.json (OpenAPI 3.1) of the table.
func document() []byte {
	var types object
	if err := json.Unmarshal(schemas, &types); err != nil {
		panic("api: internal error: schemas.json: " + err.Error())
	}
	paths := object{}
	for _, r := range routes {
		method, path, _ := strings.Cut(r.pattern, " ")
		item, ok := paths[path].(object)
		if !ok {
			item = object{}
			paths[path] = item
		}
		item[strings.ToLower(method)] = r.operation(path)
	}
	doc := object{
		"openapi": "3.1.0",
		"info": object{"title": "consentgate", "version": "1", "description": "Live calls, recordings, consent, data subjects' requests and the audit log of a gate. " +
			"What a role may ask for says x-roles."},
		"servers":  []any{object{"url": "/"}},
		"security": []any{object{"token": []any{}}, object{"session": []any{}}},
		"paths":    paths,
		"components": object{"schemas": types, "securitySchemes": object{
			"token":   object{"type": "http", "scheme": "bearer"},
			"session": object{"type": "apiKey", "in": "cookie", "name": "consentgate", "description": "Of who is logged in on the page; __Host-consentgate over TLS. Writes need its CSRF token, too, in X-CSRF-Token."}}},
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(doc); err != nil { // maps and strings
		panic("api: internal error: " + err.Error())
	}
	return b.Bytes()
}

func ref(schema string) object { return object{"$ref": "#/components/schemas/" + schema} }

func (r route) operation(path string) object {
	op := object{"summary": r.about, "operationId": operationID(r.pattern), "responses": r.responses(), "x-roles": roles(r.pattern)}
	if access.Public(r.pattern) {
		op["security"] = []any{}
	}
	params := []any{}
	for segment := range strings.SplitSeq(path, "/") {
		if name, ok := strings.CutPrefix(segment, "{"); ok {
			params = append(params, object{"name": strings.TrimSuffix(name, "}"), "in": "path", "required": true, "schema": object{"type": "string"}})
		}
	}
	for _, p := range r.params {
		params = append(params, p.described())
	}
	for _, h := range r.headers() {
		params = append(params, object{"name": h[0], "in": "header", "description": h[1], "schema": object{"type": "string"}})
	}
	if len(params) > 0 {
		op["parameters"] = params
	}
	if r.body != "" {
		op["requestBody"] = object{"content": object{jsonMedia: object{"schema": ref(r.body)}}}
	}
	return op
}

// headers of a request that mean something here.
func (r route) headers() (out [][2]string) {
	switch {
	case strings.HasPrefix(r.pattern, "GET ") && !r.fresh:
		out = append(out, [2]string{"If-None-Match", "The ETag that you have: 304 where nothing changed."})
	case strings.HasPrefix(r.pattern, "POST "):
		out = append(out, [2]string{"Idempotency-Key", "Of your choice, 128 characters at most: the same request with it is done once, and answered as the first time, for a day."})
	}
	if slices.Contains(r.fails, problemNames[http.StatusPreconditionFailed]) {
		out = append(out, [2]string{"If-Match", "The ETag of the recording as you read it: 412 where it changed since."})
	}
	return out
}

func (p param) described() object {
	schema := object{"type": p.kind}
	switch p.kind {
	case "strings":
		schema = object{"type": "array", "items": object{"type": "string"}}
	case "time":
		schema = object{"type": "string"}
	}
	if p.values != nil {
		schema["enum"] = p.values
	}
	out := object{"name": p.name, "in": "query", "required": p.required, "schema": schema}
	if p.about != "" {
		out["description"] = p.about
	}
	return out
}

// statusOf is the status of a problem by its name; 0: there is none of the name.
func statusOf(name string) int {
	for status, n := range problemNames {
		if n == name {
			return status
		}
	}
	return office.StatusOf(name)
}

// problems are the names of all that a route may answer with.
func (r route) problems() (out []string) {
	add := func(statuses ...int) {
		for _, s := range statuses {
			out = append(out, problemNames[s])
		}
	}
	add(http.StatusBadRequest, http.StatusRequestURITooLong, http.StatusRequestEntityTooLarge, http.StatusRequestTimeout, http.StatusInternalServerError)
	if !access.Public(r.pattern) {
		add(http.StatusUnauthorized, http.StatusForbidden)
		out = append(out, "store-closed", "disk", "took-too-long")
	}
	if strings.Contains(r.pattern, "{") || strings.HasSuffix(r.pattern, "/proof") {
		add(http.StatusNotFound)
	}
	if r.body != "" {
		add(http.StatusUnsupportedMediaType)
	}
	if strings.HasPrefix(r.pattern, "POST ") {
		add(http.StatusUnprocessableEntity, http.StatusConflict)
	}
	for _, a := range r.answers {
		if a.schema == "Pending" {
			add(http.StatusTooManyRequests)
		}
	}
	return append(out, r.fails...)
}

// responses are a route's answers by their status.
func (r route) responses() object {
	byStatus := map[int]object{}
	at := func(status int) (response, content object) {
		response = byStatus[status]
		if response == nil {
			response = object{"description": http.StatusText(status), "content": object{}}
			byStatus[status] = response
		}
		return response, response["content"].(object)
	}
	for _, a := range r.answers {
		_, content := at(a.status)
		switch {
		case a.media == "":
		case a.schema == "":
			content[a.media] = object{}
		case content[a.media] != nil: // two of one status: either
			content[a.media] = object{"schema": object{"oneOf": []any{content[a.media].(object)["schema"], ref(a.schema)}}}
		default:
			content[a.media] = object{"schema": ref(a.schema)}
		}
	}
	if strings.HasPrefix(r.pattern, "GET ") && !r.fresh {
		at(http.StatusNotModified)
	}
	names := map[int][]string{}
	for _, name := range r.problems() {
		names[statusOf(name)] = append(names[statusOf(name)], name)
	}
	for status, of := range names {
		response, content := at(status)
		slices.Sort(of)
		response["description"] = fmt.Sprintf("%s: %s", http.StatusText(status), strings.Join(slices.Compact(of), ", "))
		content[problemMedia] = object{"schema": ref("Problem")}
	}
	out := object{}
	for status, response := range byStatus {
		if len(response["content"].(object)) == 0 {
			delete(response, "content")
		}
		out[strconv.Itoa(status)] = response
	}
	return out
}

func roles(pattern string) (out []access.Role) {
	out = []access.Role{}
	for _, r := range access.Roles {
		if access.May(pattern, r) {
			out = append(out, r)
		}
	}
	return out
}

// operationID makes getRecordingsIdAudio of GET /api/v1/recordings/{id}/audio.
func operationID(pattern string) string {
	method, path, _ := strings.Cut(pattern, " ")
	id := strings.ToLower(method)
	for _, word := range strings.FieldsFunc(strings.TrimPrefix(path, "/api/v1/"), func(r rune) bool { return strings.ContainsRune("/{}.", r) }) {
		id += strings.ToUpper(word[:1]) + word[1:]
	}
	return id
}
