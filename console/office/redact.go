package office

import (
	"encoding/json"
	"slices"

	"consentgate/consent"
	"consentgate/console/access"
	"consentgate/store"
	"consentgate/store/evidence"
	"consentgate/store/rights"
)

// shown is a number or an address as somebody's role sees it.
func shown(p access.Principal, number string) string {
	if p.SeesNumbers() {
		return number
	}
	return masked(number)
}

// masked leaves the last three digits of a number, by which people tell calls
// apart that they know of. Of what has fewer than seven, or of an address in
// letters, they would leave too much.
func masked(number string) string {
	if number == "" {
		return ""
	}
	var digits []byte
	for _, c := range []byte(number) {
		if c >= '0' && c <= '9' {
			digits = append(digits, c)
		}
	}
	if len(digits) < 7 {
		return "…"
	}
	return "…" + string(digits[len(digits)-3:])
}

func shownSummary(p access.Principal, s store.Summary) store.Summary {
	for _, n := range []*string{&s.Remote, &s.Local, &s.RemoteNumber, &s.LocalNumber, &s.Connected, &s.ConnectedNumber} {
		*n = shown(p, *n)
	}
	return s
}

func shownRecords(p access.Principal, records []evidence.Logged) []evidence.Logged {
	records = slices.Clone(records)
	for i := range records {
		c := &records[i].Call
		for _, n := range []*string{&c.Remote, &c.Local, &c.Connected, &c.Diverted} {
			*n = shown(p, *n)
		}
	}
	return records
}

func shownRights(p access.Principal, f rights.File) rights.File {
	f.Asks, f.Restrictions = slices.Clone(f.Asks), slices.Clone(f.Restrictions)
	for i := range f.Asks {
		f.Asks[i].Subject = shown(p, f.Asks[i].Subject)
	}
	for i := range f.Restrictions {
		f.Restrictions[i].Subject = shown(p, f.Restrictions[i].Subject)
	}
	return f
}

// numbered are the members of audit payloads that hold numbers.
var numbered = []string{"remote", "local", "connected", "diverted", "subject", "remote_number", "local_number", "connected_number", "party", "who"}

// shownPayload is an audit entry's payload as somebody's role sees it. For those
// who see no numbers it isn't what was committed to any more.
func shownPayload(p access.Principal, payload []byte) []byte {
	var v any
	if p.SeesNumbers() || json.Unmarshal(payload, &v) != nil {
		return payload
	}
	mask(v)
	out, err := json.Marshal(v)
	if err != nil { // it came out of JSON
		panic("office: internal error: " + err.Error())
	}
	return out
}

func mask(v any) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			mask(e)
		}
	case map[string]any:
		for name, e := range v {
			if s, ok := e.(string); ok && slices.Contains(numbered, name) && !isParty(s) {
				v[name] = masked(s)
			} else {
				mask(e)
			}
		}
	}
}

// isParty reports whether a text names a party by its side.
func isParty(s string) bool { return s == consent.Remote.String() || s == consent.Local.String() }
