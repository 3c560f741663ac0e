package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
)

// datagrams is a UDP socket.
type datagrams struct {
	conn *net.UDPConn
	done sync.WaitGroup
}

func listenUDP(at netip.AddrPort) (*datagrams, error) {
	network := "udp4"
	if at.Addr().Is6() {
		network = "udp6"
	}
	listen := net.ListenConfig{Control: markSignalling}
	packets, err := listen.ListenPacket(context.Background(), network, at.String())
	if err != nil {
		return nil, fmt.Errorf("listening for SIP on udp %s: %w", at, err)
	}
	conn := packets.(*net.UDPConn)
	// A burst of calls must fit; the kernel caps this at net.core.rmem_max.
	if err := conn.SetReadBuffer(4 << 20); err != nil {
		return nil, errors.Join(fmt.Errorf("sizing the SIP socket's buffer: %w", err), conn.Close())
	}
	return &datagrams{conn: conn}, nil
}

func (d *datagrams) local() netip.AddrPort { return d.conn.LocalAddr().(*net.UDPAddr).AddrPort() }

func (d *datagrams) serve(e *endpoint) { d.done.Go(func() { d.read(e) }) }

func (d *datagrams) connected(netip.AddrPort) bool { return true }

func (d *datagrams) close() error {
	err := d.conn.Close()
	d.done.Wait()
	return err
}

func (d *datagrams) send(data []byte, to, _ Place) error {
	_, err := d.conn.WriteToUDPAddrPort(data, to.Addr)
	return err
}

func (d *datagrams) read(e *endpoint) {
	buf := make([]byte, 65536)
	for {
		n, from, err := d.conn.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // an ICMP error of an earlier send; the socket is fine
			e.reject("socket_error")
			continue
		}
		d.datagram(e, buf[:n], netip.AddrPortFrom(from.Addr().Unmap(), from.Port()))
	}
}

func (d *datagrams) datagram(e *endpoint, data []byte, from netip.AddrPort) {
	switch {
	case !e.accept(from.Addr()):
		e.reject("not_a_peer")
	case len(bytes.Trim(data, "\r\n\x00")) == 0: // keep-alive, RFC 5626 section 3.5.1
	case len(data) > maxHeaders:
		e.reject("oversize")
	default:
		e.take(data, from)
	}
}
