// Package srtp protects one peer's RTP and RTCP (RFC 3711) with keys that come
// in session descriptions (SDES, RFC 4568). It reads, writes and makes the
// a=crypto attributes, opens what the peer sends and seals what is sent to it.
// The ciphers are pion's.
package srtp
