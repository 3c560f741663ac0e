package client

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Problem is what a gate refused to do, or couldn't (RFC 9457).
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`

	later string // when to try again, in seconds; "" if it didn't say
}

// problemPrefix begins the types of the gate's problems.
const problemPrefix = "urn:consentgate:problem:"

// advice is what to do, by the problem's name.
var advice = map[string]string{
	"not-logged-in":         "the token is no user's: compare its SHA-256 with console.users at the gate",
	"not-your-role":         "your role may not do this: ask somebody whose role may",
	"not-found":             "there is none by that name, or none any more",
	"purpose-missing":       "say with --purpose what it is used for",
	"purpose-not-consented": "use it for a purpose that was consented to: 'recordings show' has it",
	"restricted":            "it may be used for legal claims only: --case and --reason, as wav",
	"numbers-not-shown":     "leave out --party and --agent",
	"own-request":           "another officer has to decide",
	"several":               "say which: 'recordings show' lists them",
	"call-state":            "'calls list' shows how it stands",
	"being-erased":          "'recordings certificate' says how far its erasure is",
	"store-closed":          "the gate's log says why; calls go on meanwhile, unrecorded",
	"method-not-allowed":    "the gate is older or newer than this program",
	"not-set-up":            "docs/operations.md says what the gate needs for it",
}

// Error says what was refused, why and what to do.
func (p *Problem) Error() string {
	name := strings.TrimPrefix(p.Type, problemPrefix)
	text := strings.ReplaceAll(name, "-", " ")
	if p.Type == "" || name == p.Type {
		text = http.StatusText(p.Status)
	}
	if p.Detail != "" {
		text += ": " + plain(p.Detail)
	}
	if a := advice[name]; a != "" {
		text += "; " + a
	} else if p.later != "" {
		text += "; try again in " + p.later + " s"
	}
	return fmt.Sprintf("the gate refused (%d): %s", p.Status, text)
}

// problemOf reads what a gate, or something in front of it, says where it did
// nothing.
func problemOf(res *http.Response) error {
	p := &Problem{}
	body, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if err != nil || !strings.HasPrefix(res.Header.Get("Content-Type"), "application/problem+json") || json.Unmarshal(body, p) != nil {
		*p = Problem{Detail: "what answered doesn't speak as a gate does: is --server right?"}
	}
	p.Status = res.StatusCode
	if later := res.Header.Get("Retry-After"); later != "" && strings.Trim(later, "0123456789") == "" {
		p.later = later
	}
	return p
}
