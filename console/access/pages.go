package access

import "maps"

// pages are the routes of the page. What it does as the API does has the same roles
// there.
var pages = map[string][]Role{
	"GET /{$}":                 everyone,
	"GET /static/{file}":       public,
	"GET /login":               public,
	"POST /login":              public,
	"GET /login/oidc":          public,
	"GET /login/oidc/callback": public,
	"POST /logout":             everyone,
	"POST /language":           public,

	"GET /calls":                calls,
	"GET /calls/live":           calls,
	"POST /calls/{id}/pause":    calls,
	"POST /calls/{id}/resume":   calls,
	"GET /calls/{id}/withdraw":  officers,
	"POST /calls/{id}/withdraw": officers,

	"GET /recordings":                   finds,
	"POST /recordings":                  finds,
	"GET /recordings/{id}":              finds,
	"GET /recordings/{id}/receipt":      finds,
	"GET /recordings/{id}/loudness.svg": listens,
	"POST /recordings/{id}/export":      officers,
	"POST /recordings/{id}/hold":        officers,
	"POST /recordings/{id}/release":     officers,
	"POST /recordings/{id}/restrict":    officers,
	"POST /recordings/{id}/lift":        officers,
	"GET /recordings/{id}/erase":        officers,
	"POST /recordings/{id}/erase":       officers,
	"GET /erasures/{id}":                proves,

	"GET /requests":              officers,
	"POST /requests":             officers,
	"GET /requests/{id}":         officers,
	"POST /requests/{id}/steps":  officers,
	"POST /requests/{id}/bundle": officers,

	"GET /approvals":               officers,
	"POST /approvals/{id}/approve": officers,
	"POST /approvals/{id}/reject":  officers,

	"GET /audit":             proves,
	"POST /audit/verify":     proves,
	"GET /system":            everyone,
	"POST /system/retention": officers,
}

func init() { maps.Copy(Table, pages) }
