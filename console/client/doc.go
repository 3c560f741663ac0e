// Package client is the command line over the gate's API: calls, recordings,
// subjects' requests, approvals and the audit log, for people as tables and for
// scripts as JSON. It knows the API as programs do, by its documents alone.
package client
