// Package locate finds out where a SIP peer is: the procedures of RFC 3263
// section 4 over an interface to DNS, a DNS client that satisfies it, and a
// watch that keeps what was found fresh. Nobody but the watch's goroutine ever
// waits for DNS.
package locate
