package media

import (
	"encoding/binary"
	"fmt"

	"github.com/pion/rtcp"
)

// isReport reports whether a datagram can be RTCP (RFC 3550 appendix A.2).
func isReport(b []byte) bool {
	return len(b) >= 8 && b[0]>>6 == 2 && b[1] >= 192 && b[1] <= 223 && int(binary.BigEndian.Uint16(b[2:])+1)*4 <= len(b)
}

// translate makes a sender's RTCP (RFC 3550 section 6) true for its receiver.
// toward is the stream that the receiver hears the sender in; back is the stream
// that the sender hears the receiver in, and that its reception reports are
// about. Where neither was touched, the bytes pass as they are. What can't be
// made true is left out; nil means that nothing is left.
func translate(data []byte, toward, back mapping) ([]byte, error) {
	if !toward.ours && !back.ours {
		return data, nil
	}
	packets, err := rtcp.Unmarshal(data)
	if err != nil {
		return nil, fmt.Errorf("reading RTCP: %w", err)
	}
	var out []rtcp.Packet
	for _, p := range packets {
		if p := translateOne(p, toward, back); p != nil {
			out = append(out, p)
		}
	}
	if len(out) == 0 {
		return nil, nil
	}
	b, err := rtcp.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("writing RTCP: %w", err)
	}
	return b, nil
}

func translateOne(p rtcp.Packet, toward, back mapping) rtcp.Packet {
	switch p := p.(type) {
	case *rtcp.SenderReport:
		p.Reports = back.reports(p.Reports)
		if toward.ours && !toward.knows(p.SSRC) {
			// Its times belong to no stream that the receiver hears; its reports stand.
			return &rtcp.ReceiverReport{SSRC: toward.ssrc, Reports: p.Reports}
		}
		if toward.ours {
			p.SSRC, p.RTPTime = toward.ssrc, p.RTPTime+toward.ts
		}
		return p
	case *rtcp.ReceiverReport:
		p.SSRC, p.Reports = toward.sender(p.SSRC), back.reports(p.Reports)
		return p
	case *rtcp.SourceDescription:
		for i := range p.Chunks {
			p.Chunks[i].Source = toward.sender(p.Chunks[i].Source)
		}
		return p
	case *rtcp.Goodbye:
		for i := range p.Sources {
			p.Sources[i] = toward.sender(p.Sources[i])
		}
		return p
	}
	return nil // extended reports and feedback name sources in places of their own
}

// knows reports whether the stream carries that source now.
func (m mapping) knows(ssrc uint32) bool { return m.joined && m.source == ssrc }

// sender is the SSRC under which a stream's listener knows its source.
func (m mapping) sender(ssrc uint32) uint32 {
	if m.ours && (!m.joined || m.source == ssrc) {
		return m.ssrc
	}
	return ssrc
}

// reports makes reports about our stream ones about its source; those about
// prompts concern nobody at the far end and are left out.
func (m mapping) reports(in []rtcp.ReceptionReport) []rtcp.ReceptionReport {
	if !m.ours {
		return in
	}
	var out []rtcp.ReceptionReport
	for _, r := range in {
		// Both the listener and we count wraps from where the stream began.
		theirs := r.LastSequenceNumber - m.seq
		if r.SSRC == m.ssrc && m.joined && int32(theirs-uint32(m.first)) >= 0 {
			r.SSRC, r.LastSequenceNumber = m.source, theirs
			out = append(out, r)
		}
	}
	return out
}
