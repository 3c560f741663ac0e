package locate

import (
	"context"
	"net/netip"
	"time"
)

// Lookup asks DNS. Names come without the dot at their end.
type Lookup interface {
	// Lookup returns the records of one type that a name has. A name that has
	// none, or that doesn't exist, is no error. With an error there may be
	// records all the same: those that were true last.
	Lookup(ctx context.Context, name string, t Type) (Records, error)
}

// Type is a type of records.
type Type string

// The types that locating a peer takes.
const (
	TypeNAPTR Type = "NAPTR" // RFC 3403
	TypeSRV   Type = "SRV"   // RFC 2782
	TypeA     Type = "A"
	TypeAAAA  Type = "AAAA"
)

// Records are an answer. Only the field of the type that was asked for is set.
type Records struct {
	NAPTR []NAPTR
	SRV   []SRV
	Addrs []netip.Addr
	TTL   time.Duration // for how long this holds, also if there are none
}

// NAPTR is a rule that leads to a service's name.
type NAPTR struct {
	Order, Preference           uint16
	Flags, Service, Replacement string
	Regexp                      bool // it rewrites instead
}

// SRV is one server of a service.
type SRV struct {
	Priority, Weight, Port uint16
	Target                 string // "": the service is not offered here
}
