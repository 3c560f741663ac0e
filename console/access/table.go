package access

import "slices"

// anyone marks a route that needs no login.
const anyone Role = "anyone"

var (
	public   = []Role{anyone}
	everyone = Roles
	calls    = []Role{Operator, AgentLead, Officer}
	listens  = []Role{AgentLead, Officer}
	officers = []Role{Officer}
	proves   = []Role{Officer, Auditor}
	finds    = []Role{AgentLead, Officer, Auditor}
)

// Table is who may ask for what: every route of the API and the page, and the
// roles that may. A route that isn't here isn't served.
var Table = map[string][]Role{
	"GET /api/v1/openapi.json": public,
	"GET /api/v1/me":           everyone,
	"GET /api/v1/system":       everyone,

	"GET /api/v1/calls":                calls,
	"POST /api/v1/calls/{id}/pause":    calls,
	"POST /api/v1/calls/{id}/resume":   calls,
	"POST /api/v1/calls/{id}/withdraw": officers,

	"GET /api/v1/recordings":                                    finds,
	"GET /api/v1/recordings/{id}":                               finds,
	"GET /api/v1/recordings/{id}/audio":                         listens,
	"GET /api/v1/recordings/{id}/receipt":                       finds,
	"GET /api/v1/recordings/{id}/vcon":                          officers,
	"GET /api/v1/recordings/{id}/export":                        officers,
	"PUT /api/v1/recordings/{id}/hold":                          officers,
	"DELETE /api/v1/recordings/{id}/hold":                       officers,
	"POST /api/v1/recordings/{id}/restrictions":                 officers,
	"DELETE /api/v1/recordings/{id}/restrictions/{restriction}": officers,
	"POST /api/v1/recordings/{id}/erase":                        officers,
	"GET /api/v1/recordings/{id}/certificate":                   proves,

	"GET /api/v1/requests":             officers,
	"POST /api/v1/requests":            officers,
	"GET /api/v1/requests/{id}":        officers,
	"POST /api/v1/requests/{id}/steps": officers,
	"GET /api/v1/requests/{id}/bundle": officers,

	"GET /api/v1/approvals":               officers,
	"GET /api/v1/approvals/{id}":          officers,
	"POST /api/v1/approvals/{id}/approve": officers,
	"POST /api/v1/approvals/{id}/reject":  officers,
	"POST /api/v1/retention/confirm":      officers,

	"GET /api/v1/audit":            proves,
	"GET /api/v1/audit/export":     proves,
	"GET /api/v1/audit/checkpoint": proves,
	"GET /api/v1/audit/key":        proves,
	"GET /api/v1/audit/proof":      proves,
	"POST /api/v1/audit/proof":     proves,
	"POST /api/v1/audit/verify":    proves,
}

// Public reports whether a route needs no login.
func Public(pattern string) bool { return slices.Contains(Table[pattern], anyone) }

// May reports whether a role may use a route.
func May(pattern string, r Role) bool {
	return Public(pattern) || slices.Contains(Table[pattern], r)
}
