package client

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// says is what people read of an entry, by its type: members of its payload in this
// order, each as NAME, or as NAME=PATH where a dot leads into others. Who did it and
// what it is about have columns of their own; all the rest is for --json.
var says = map[string]string{
	"node.start":         "node version config",
	"node.stop":          "node",
	"config.changed":     "part before after",
	"store.compacted":    "database before after",
	"clock.jumped":       "was is seconds seen",
	"witness.conflict":   "witness size reason",
	"disk.low":           "level free size at",
	"disk.ok":            "level free size at",
	"unwrap.failed":      "failed",
	"user.login":         "via from",
	"user.failed":        "reason from",
	"alarm.raised":       "rule entry at count within",
	"consent":            "kind party trunk=call.trunk direction=call.direction remote=call.remote local=call.local purpose=purpose.name policy reason",
	"recording.started":  "call",
	"recording.anchor":   "running",
	"recording.sealed":   "reason seconds bytes truncated gaps=gaps.list",
	"recording.archived": "place bytes",
	"recording.restored": "place reason",
	"recording.failed":   "reason",
	"recording.erased":   "reason payloads",
	"recording.played":   "why from until reason case request",
	"recording.exported": "why form to reason case request",
	"recording.refused":  "why use",
	"recording.found":    "why",
	"archive.deleted":    "place owed asked erased",
	"approval":           "act state form why to second reason id",
	"audit.exported":     "payloads",
	"hold.set":           "reason case id",
	"hold.released":      "reason case id set",
	"restriction.set":    "ground reason request id",
	"restriction.lifted": "ground reason request id set",
	"erasure.requested":  "reason request",
	"erasure.shredded":   "from to turned erased holders",
	"request.received":   "kind state received due reason",
	"request.updated":    "kind state due reason article carried left",
	"request.done":       "kind state reason article carried left",
	"retention.run":      "erased kept requests",
	"retention.braked":   "why due total months at clock confirmed reason",
	"payloads.erased":    "before payloads",
}

// Members that have a column; the first that is there counts.
var (
	whose = []string{"by", "as"}
	about = []string{"recording", "request", "call.id"}
)

// cellsOf are who did what an entry says, what it is about, and the rest as NAME=VALUE.
func cellsOf(kind string, payload json.RawMessage) (by, of, rest string, err error) {
	d := json.NewDecoder(bytes.NewReader(payload))
	d.UseNumber() // as it was written
	var members map[string]any
	if err := d.Decode(&members); err != nil {
		return "", "", "", fmt.Errorf("reading what an entry says: %w", err)
	}
	first := func(paths []string) string {
		for _, p := range paths {
			if v := shown(find(members, p)); v != "" {
				return v
			}
		}
		return ""
	}
	by, of = first(whose), first(about)
	var out []string
	for _, what := range readOf(kind, members) {
		name, path, ok := strings.Cut(what, "=")
		if !ok {
			path = name
		}
		if v := shown(find(members, path)); v != "" && v != of {
			out = append(out, name+"="+quoted(v))
		}
	}
	return by, of, strings.Join(out, " "), nil
}

// readOf is what is read of a payload: of a type that this program doesn't know, all.
func readOf(kind string, members map[string]any) (out []string) {
	if s, ok := says[kind]; ok {
		return strings.Fields(s)
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if !slices.Contains(whose, name) {
			out = append(out, name)
		}
	}
	return out
}

func find(members map[string]any, path string) any {
	name, rest, deeper := strings.Cut(path, ".")
	if !deeper {
		return members[name]
	}
	within, _ := members[name].(map[string]any)
	return find(within, rest)
}

var isHash = regexp.MustCompile(`^[0-9a-f]{64}$`)

// shown is a value for people: of lists how long they are, of hashes the beginning;
// "" where there is none.
func shown(v any) string {
	switch v := v.(type) {
	case string:
		if at, err := time.Parse(time.RFC3339Nano, v); err == nil {
			return moment(at)
		}
		if isHash.MatchString(v) {
			return v[:12] + "…"
		}
		return v
	case json.Number:
		return v.String()
	case bool:
		return strconv.FormatBool(v)
	case []any:
		return strconv.Itoa(len(v))
	case map[string]any:
		var out []string
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if value := shown(v[name]); value != "" {
				out = append(out, name+" "+value)
			}
		}
		return strings.Join(out, ", ")
	}
	return ""
}

// quoted keeps a value apart from the next.
func quoted(v string) string {
	if strings.ContainsAny(v, " =\"") {
		return strconv.Quote(v)
	}
	return v
}
