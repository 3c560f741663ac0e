// Package phone is a telephone made of code: SIP over UDP, PCMU or PCMA, keys by
// RFC 4733. The demo calls with it, and tests do. It shares no code with package
// proxy, so that both can't be wrong in the same way.
package phone
