package proxy

import (
	"fmt"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// signalling is the DSCP of call signalling, CS3 (RFC 4594 section 4.2), as it
// stands in the byte that the kernel wants. What is accepted has its listener's.
const signalling = 24 << 2

// markSignalling marks what a socket sends; it is a Control function of package net.
func markSignalling(network, _ string, c syscall.RawConn) error {
	level, option := unix.IPPROTO_IP, unix.IP_TOS
	if strings.HasSuffix(network, "6") {
		level, option = unix.IPPROTO_IPV6, unix.IPV6_TCLASS
	}
	var err error
	if e := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, option, signalling) }); e != nil {
		err = e
	}
	if err != nil {
		return fmt.Errorf("marking a socket's packets: %w", err)
	}
	return nil
}
