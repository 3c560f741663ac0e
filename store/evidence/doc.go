// Package evidence writes what is known of a recording for people and for other
// systems: the consent receipt (ISO/IEC TS 27560 in terms of the W3C's DPV), the
// vCon of the IETF, and the bundle that answers somebody's request for access
// (GDPR Art. 15 and 20).
//
// It reads nothing by itself: a Case has all that a document says, and audio
// comes as a stream. It knows no clock and no chance: the same input gives the
// same bytes. docs/evidence.md says what is in each document and which editions
// of the drafts they follow.
package evidence
