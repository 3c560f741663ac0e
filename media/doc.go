// Package media is RTP in motion (RFC 3550): ports, relaying between the two
// legs of a call, prompts, telephone keys, and the tap that copies packets to a
// recorder.
//
// Nothing on a packet's way blocks or waits for a disk. A tap opens to a
// consent.Grant and to nothing else; closing or pausing it is a barrier.
package media
