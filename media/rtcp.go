package media

import (
	"fmt"

	"github.com/pion/rtcp"
)

// translate makes a sender's RTCP (RFC 3550 section 6) true for its receiver.
// toward is the stream that the receiver hears the sender in; back is the stream
// that the sender hears the receiver in, and that its reception reports are
// about. Where neither was touched, the bytes pass as they are.
func translate(data []byte, toward, back mapping) ([]byte, error) {
	if !toward.ours && !back.ours {
		return data, nil
	}
	packets, err := rtcp.Unmarshal(data)
	if err != nil {
		return nil, fmt.Errorf("reading RTCP: %w", err)
	}
	for _, p := range packets {
		switch p := p.(type) {
		case *rtcp.SenderReport:
			p.SSRC = toward.sender(p.SSRC)
			if toward.ours && toward.moved {
				p.RTPTime += toward.moveTime
			}
			p.Reports = back.reports(p.Reports)
		case *rtcp.ReceiverReport:
			p.SSRC = toward.sender(p.SSRC)
			p.Reports = back.reports(p.Reports)
		case *rtcp.SourceDescription:
			for i := range p.Chunks {
				p.Chunks[i].Source = toward.sender(p.Chunks[i].Source)
			}
		case *rtcp.Goodbye:
			for i := range p.Sources {
				p.Sources[i] = toward.sender(p.Sources[i])
			}
		}
	}
	out, err := rtcp.Marshal(packets)
	if err != nil {
		return nil, fmt.Errorf("writing RTCP: %w", err)
	}
	return out, nil
}

// sender is the SSRC under which a stream's listener knows its source.
func (m mapping) sender(ssrc uint32) uint32 {
	if m.ours && (ssrc == m.source || !m.moved) {
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
		if r.SSRC == m.ssrc && m.moved {
			r.SSRC = m.source
			r.LastSequenceNumber = r.LastSequenceNumber&^0xffff | uint32(uint16(r.LastSequenceNumber)-m.moveSeq)
			out = append(out, r)
		}
	}
	return out
}
