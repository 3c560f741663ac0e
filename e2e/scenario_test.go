package e2e

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"consentgate/internal/faultdisk"
	"consentgate/internal/scenario"
	"consentgate/store"
)

// TestScenarios plays each file of testdata/scenarios: one call a file, in the
// words of its README.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/scenarios/*.txt")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d scenarios, %v", len(files), err)
	}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		script, err := scenario.Parse(f, string(raw))
		if err != nil {
			t.Error(err)
			continue
		}
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) {
			t.Parallel()
			switch err := script.Play(theProgram(t)); {
			case errors.Is(err, scenario.ErrNotTested) && os.Getenv("CI") == "":
				t.Skip(err)
			case err != nil:
				t.Fatal(err)
			}
		})
	}
}

// TestASpiralIsTwoCalls: the same Call-ID through the gate twice.
func TestASpiralIsTwoCalls(t *testing.T) {
	t.Parallel()
	if err := scenario.Spiral(theProgram(t)); err != nil {
		t.Fatal(err)
	}
}

// played is the real program, as a scenario knows it.
type played struct {
	*gate
	dataDir string
	disk    *faultdisk.Disk // nil: none of its own
	died    bool
}

// theProgram starts the real program for a scenario.
func theProgram(t *testing.T) scenario.Start {
	return func(s scenario.Settings) (scenario.Gate, error) {
		p := &played{dataDir: filepath.Join(t.TempDir(), "data")}
		if s.Disk {
			d, err := faultdisk.New(t.TempDir())
			if err != nil {
				return nil, fmt.Errorf("%w: a real disk's faults need the right to mount: %v", scenario.ErrNotTested, err)
			}
			t.Cleanup(func() {
				if err := d.Close(); err != nil {
					t.Error(err)
				}
			})
			p.disk, p.dataDir = d, filepath.Join(d.Dir, "data")
		}
		prompt := filepath.Join(t.TempDir(), "prompt.wav")
		writeTone(t, prompt, scenario.PromptHz, s.Prompt)
		p.gate = startGate(t, setup{
			carrierPeer: s.Peers["carrier"].String(), pbxPeer: s.Peers["pbx"].String(), dataDir: p.dataDir, ports: s.Ports, codecs: s.Codecs, quota: s.Quota,
			extra: strings.Join(append(s.Config, ""), "\n"), policies: askingPolicies(prompt, s.Policy),
		})
		return p, nil
	}
}

// askingPolicies are the policies of a scenario: emergency calls, and one that
// asks, with quick defaults where the scenario says nothing.
func askingPolicies(prompt string, lines []string) string {
	for _, l := range []string{"purpose: training", "prompt: " + prompt, "timeout: 1s", "attempts: 1"} {
		key, _, _ := strings.Cut(l, ":")
		if !strings.Contains("\n"+strings.Join(lines, "\n"), "\n"+key+":") {
			lines = append(lines, l)
		}
	}
	return "  - {name: emergency, numbers: [\"112\", \"urn:service:sos*\"], action: bypass}\n  - name: default\n    " +
		strings.Join(lines, "\n    ") + "\n"
}

func (p *played) Addr(side string) netip.AddrPort {
	return netip.MustParseAddrPort(map[string]string{"carrier": p.Carrier, "pbx": p.PBX}[side])
}

func (p *played) Metric(series string) float64 { return p.metric(series) }

// Disk does it with a file system of the kernel's.
func (p *played) Disk(state string) error {
	if p.disk == nil {
		return errors.New("there is no small disk")
	}
	switch state {
	case "full":
		return p.disk.Fill()
	case "free":
		return p.disk.Free()
	case "hangs":
		return p.disk.Freeze()
	case "answers":
		return p.disk.Thaw()
	}
	p.died = true
	return p.disk.Kill()
}

// revive stops a program that can't close its log any more, and brings the data
// directory in order as the next start does.
func (p *played) revive() error {
	err := p.cmd.Process.Signal(syscall.SIGTERM)
	p.stopOnce.Do(func() {})
	if ended := <-p.exited; ended == nil {
		err = errors.Join(err, errors.New("it stopped as if it had closed its log"))
	}
	p.exited <- nil
	if err := errors.Join(err, p.disk.Remount()); err != nil {
		return err
	}
	return p.open(p.dataDir).Close()
}

// Finish stops the program and reads what it left, as an auditor and as an
// officer who listens.
func (p *played) Finish() (*scenario.Evidence, error) {
	if p.died {
		if err := p.revive(); err != nil {
			return nil, err
		}
	}
	p.stop()
	out := &scenario.Evidence{Log: p.log.String(), DataDir: p.dataDir}
	ev := p.evidence()
	for _, r := range ev.records {
		out.Records = append(out.Records, string(r.Kind))
		for _, a := range r.Answers {
			out.Ways = append(out.Ways, a.Press.Via)
		}
	}
	for _, e := range ev.entries {
		if e.Type == store.TypeSealed {
			_, reason, _ := strings.Cut(string(e.Payload), `"reason":"`)
			reason, _, _ = strings.Cut(reason, `"`)
			out.Seals = append(out.Seals, reason)
		}
	}
	s := p.open(p.dataDir)
	found, _, err := s.Search(store.Query{})
	for _, f := range found {
		if mine, _, e := s.Search(store.Query{Party: f.Remote}); e != nil || len(mine) == 0 {
			err = errors.Join(err, e, errors.New("a recording isn't found by its party's number"))
		}
		var wav bytes.Buffer
		if _, e := s.WAV(context.Background(), f.ID, &wav); e != nil {
			err = errors.Join(err, e)
			continue
		}
		out.Recordings = append(out.Recordings, listen(wav.Bytes()))
	}
	return out, errors.Join(err, s.Close())
}

// listen takes a stereo WAV apart.
func listen(wav []byte) (r scenario.Recording) {
	for i := 44; i+3 < len(wav); i += 4 {
		r.Left = append(r.Left, int16(binary.LittleEndian.Uint16(wav[i:])))
		r.Right = append(r.Right, int16(binary.LittleEndian.Uint16(wav[i+2:])))
	}
	return r
}
