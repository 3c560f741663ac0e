// Package breach finds in the audit log what may be a breach of personal data
// (GDPR Art. 4(12), 33): a table of rules over entries. It has no clock but the
// entries', does no I/O, and knows the entries by docs/audit-format.md alone, so
// that the same entries always give the same alarms.
package breach
