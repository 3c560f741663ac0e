package page

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"consentgate/console/access"
	"consentgate/store"
)

const entriesPerPage = 50

// verified is what the last check of the log found.
type verified struct {
	report store.Report
	at     time.Time
}

func getAudit(v *visit) error {
	q := v.r.URL.Query()
	b := auditBody{Type: q.Get("type"), Types: types()}
	if !slices.Contains(b.Types, b.Type) {
		b.Type = ""
	}
	before, err := strconv.ParseInt(q.Get("before"), 10, 64)
	if err != nil || before < 0 {
		before = -1
	}
	entries, more, err := v.o.AuditLatest(v.r.Context(), v.who, before, entriesPerPage, b.Type)
	if err != nil {
		return err
	}
	for _, e := range entries {
		b.Entries = append(b.Entries, entry{e.Seq, e.At, e.Type, v.says(e.Payload)})
	}
	b.Newest, b.Paged = "/audit?type="+b.Type, before >= 0
	if more {
		b.Older = fmt.Sprintf("/audit?type=%s&before=%d", b.Type, entries[len(entries)-1].Seq)
	}
	if found := v.verified.Load(); found != nil {
		b.Report, b.VerifiedAt = &found.report, found.at
	}
	signed, err := v.o.Checkpoint()
	if err != nil {
		return err
	}
	b.Checkpoint = string(signed)
	return v.show("audit", "audit", v.t("audit.title"), b)
}

// types are those of entries that have a word, which all have.
func types() (out []string) {
	for key := range maps.Keys(words) {
		if t, ok := strings.CutPrefix(key, "type."); ok {
			out = append(out, t)
		}
	}
	slices.Sort(out)
	return out
}

// saysMost bounds what is shown of one entry.
const saysMost = 8

// says is what an entry says, by its plain members. Those within others are for the
// export.
func (v *visit) says(payload []byte) (out []said) {
	var members map[string]any
	if payload == nil || json.Unmarshal(payload, &members) != nil {
		return nil
	}
	if call, ok := members["call"].(map[string]any); ok { // of a consent record
		for _, name := range []string{"trunk", "direction", "remote", "local"} {
			members[name] = call[name]
		}
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		var value string
		switch x := members[name].(type) {
		case string:
			value = x
		case float64:
			value = strconv.FormatFloat(x, 'f', -1, 64)
		case bool:
			value = strconv.FormatBool(x)
		}
		if value == "" || len(out) == saysMost {
			continue
		}
		s := said{Name: name, Value: value}
		if name == "recording" && access.May("GET /recordings/{id}", v.who.Role) {
			s.Link = "/recordings/" + value
		}
		out = append(out, s)
	}
	return out
}

func postVerify(v *visit) error {
	report, err := v.o.VerifyLog(v.r.Context())
	if err != nil {
		return err
	}
	v.verified.Store(&verified{report, time.Now()})
	return v.done("/audit", "")
}
