// Command media measures what passing on RTP costs: the gate beside rtpengine
// (Debian's, in user space) and beside the least that a relay in C can do, with
// the same generator in the same run. 'make bench-media' calls it; ADR 54 says
// how the comparison is made fair, and what it can't show.
//
// It needs go, gcc and rtpengine, and three addresses of 127.0.0.0/8.
package main
