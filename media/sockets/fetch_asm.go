//go:build amd64 || arm64

package sockets

import "unsafe"

// fetch has lines of memory fetched, and doesn't wait for them. at may be anything.
//
//go:noescape
func fetch(at unsafe.Pointer, lines int)
