// Package codec turns audio into RTP payloads and back, in the codecs that need
// no licence and little arithmetic: G.711, G.722 and L16. It knows nothing of
// packets, calls or files.
package codec
