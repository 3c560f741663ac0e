// Package api serves programs: JSON of what console/office has. One table says of
// each route what it takes, what it answers and who serves it; requests are held to
// it, and openapi.json is made of it. docs/api.md is for those who program against
// it.
package api
