// Package store keeps what must last: the audit log, the recordings, their keys
// and the index that finds them.
//
// Nothing here is readable without the root cell, a 32-byte key kept apart from
// the data directory: numbers, names and audio are encrypted as they are
// written. The audit log is a Merkle tree with signed checkpoints; anyone with
// the data directory can verify it, without the root. docs/audit-format.md and
// docs/recording-format.md are the formats.
package store
