package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"

	"consentgate/internal/phone"
)

var ngAddress = netip.AddrPortFrom(relayIP, 2223)

// rtpengine is rtpengine without its kernel module, told of its calls as a SIP
// proxy tells it.
type rtpengine struct {
	*process
	job
	ng    *ngClient
	spool string
}

func startRTPEngine(ctx context.Context, j job) (relay, error) {
	spool := filepath.Join(j.dir, "spool")
	if err := errors.Join(os.RemoveAll(spool), os.MkdirAll(spool, 0o700)); err != nil {
		return nil, err
	}
	args := []string{"--config-file=none", "--foreground", "--log-stderr", "--table=-1", "--interface=" + relayIP.String(),
		"--listen-ng=" + ngAddress.String(), "--port-min=" + strconv.Itoa(minPort), "--port-max=" + strconv.Itoa(maxPort)}
	if j.recorded > 0 {
		args = append(args, "--recording-dir="+spool, "--recording-method=pcap", "--recording-format=raw")
	}
	p, err := j.launch(ctx, j.dir, command{name: "rtpengine", path: j.rtpe, args: args, pin: j.pin})
	if err != nil {
		return nil, err
	}
	r := &rtpengine{process: p, job: j, spool: spool}
	if r.ng, err = dialNG(ngAddress); err == nil {
		err = p.until(ctx, "answering a ping", func() bool {
			_, err := r.ng.ask(map[string]any{"command": "ping"})
			return err == nil
		})
	}
	if err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

func (r *rtpengine) self() *process { return r.process }

func (r *rtpengine) connect(ctx context.Context) (targets, error) {
	to := newTargets(r.calls)
	for i := range r.calls {
		if err := ctx.Err(); err != nil {
			return to, err
		}
		if err := r.call(i, to); err != nil {
			return to, fmt.Errorf("call %d: %w", i, err)
		}
	}
	return to, nil
}

// call makes one, with the phones' descriptions.
func (r *rtpengine) call(i int, to targets) error {
	about := map[string]any{"call-id": fmt.Sprintf("bench-%d", i), "from-tag": "a", "replace": []string{"origin", "session-connection"},
		"ICE": "remove"}
	if i < r.recorded {
		about["record call"] = "yes"
	}
	for side, command := range []string{"offer", "answer"} {
		party := phone.MediaElsewhere(leg(side, i))
		about["command"], about["sdp"] = command, string(party.Describe("sendrecv"))
		if command == "answer" {
			about["to-tag"] = "b"
		}
		said, err := r.ng.ask(about)
		if err != nil {
			return err
		}
		body, _ := said["sdp"].(string)
		party.Apply([]byte(body)) // goes to the other party: where that one sends
		if to[1-side][i] = party.To(); party.To().Addr() != relayIP {
			return fmt.Errorf("the %s leads to %v", command, party.To())
		}
	}
	return nil
}

func (r *rtpengine) after(res *result) (err error) {
	res.Recorded, err = bytesUnder(r.spool)
	return err
}

func (r *rtpengine) close() error {
	r.kill()
	var err error
	if r.ng != nil {
		err = r.ng.conn.Close()
	}
	return errors.Join(err, os.RemoveAll(r.spool))
}
