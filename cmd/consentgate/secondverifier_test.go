package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"consentgate/consent"
	"consentgate/store"
	"consentgate/store/checkpoint"
	"consentgate/store/witness"
)

// said is a verifier's word: what it prints and how it ends.
type said struct {
	out  string
	code int
}

// both has an export verified by the program and by docs/verify_audit.py.
func both(t *testing.T, export []byte, args ...string) (ours, theirs said) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "export")
	must(t, os.WriteFile(path, export, 0o600))
	code, out, _ := program(t, append([]string{"verify", "--export", path}, args...)...)
	c := exec.Command("python3", append([]string{"../../docs/verify_audit.py", path}, args...)...)
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || strings.Contains(stderr.String(), "Traceback") {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	return said{out, code}, said{stdout.String(), c.ProcessState.ExitCode()}
}

// insider makes logs that are signed with the real key, whatever they say.
type insider struct {
	t       *testing.T
	signer  note.Signer
	vkey    string
	entries []store.Entry
	at      time.Time
}

func newInsider(t *testing.T) *insider {
	t.Helper()
	skey, vkey, err := note.GenerateKey(rand.Reader, "consentgate/insider")
	must(t, err)
	signer, err := note.NewSigner(skey)
	must(t, err)
	in := &insider{t: t, signer: signer, vkey: vkey, at: time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)}
	in.log(store.TypeNodeUp, consent.Hash{}, `{"node":"n"}`)
	in.entries[0].Leaf = strings.TrimSuffix(in.entries[0].Leaf, "\n") + " " + markOf(consent.Hash{}) + "\n"
	return in
}

// markOf is the mark of a grant's leaves, as docs/audit-format.md has it.
func markOf(g consent.Hash) string {
	sum := sha256.Sum256(append([]byte("consentgate/1/audit-scope\x00"), g[:]...))
	return fmt.Sprintf("%x", sum[:16])
}

// log appends an entry, with a grant's mark unless that is zero.
func (in *insider) log(kind string, grant consent.Hash, payload string) {
	in.at = in.at.Add(time.Second)
	salt := make([]byte, 32)
	rand.Read(salt)
	text := fmt.Sprintf("consentgate-audit-1 %d %d %s %x", len(in.entries), in.at.UnixMilli(), kind, sha256.Sum256(append(salt, payload...)))
	if grant != (consent.Hash{}) {
		text += " " + markOf(grant)
	}
	in.entries = append(in.entries, store.Entry{Seq: int64(len(in.entries)), At: in.at, Type: kind, Leaf: text + "\n", Salt: salt[:32:32], Payload: []byte(payload)})
}

// erased logs that what goes with no grant is erased up to an entry.
func (in *insider) erased(before int) {
	in.log("payloads.erased", consent.Hash{}, fmt.Sprintf(`{"before":%d}`, before))
	last := &in.entries[len(in.entries)-1]
	last.Leaf = fmt.Sprintf("%s %032x\n", strings.TrimSuffix(last.Leaf, "\n"), before)
}

// granted logs a consent and gives its grant.
func (in *insider) granted(call string) consent.Hash {
	payload := `{"kind":"granted","call":{"id":"` + call + `"}}`
	g := consent.Hash(sha256.Sum256([]byte(payload)))
	in.log(store.TypeConsent, g, payload)
	return g
}

// of logs something that names a grant, under that one's mark.
func (in *insider) of(kind string, g consent.Hash, more string) {
	in.log(kind, g, `{"grant":"`+g.String()+`"`+more+`}`)
}

func (in *insider) lose(seqs ...int) {
	for _, seq := range seqs {
		in.entries[seq].Salt, in.entries[seq].Payload = nil, nil
	}
}

// checkpoint signs the first n entries.
func (in *insider) checkpoint(n int) []byte {
	var hashes []tlog.Hash
	reader := tlog.HashReaderFunc(func(at []int64) (out []tlog.Hash, _ error) {
		for _, i := range at {
			out = append(out, hashes[i])
		}
		return out, nil
	})
	for i := range n {
		more, err := tlog.StoredHashes(int64(i), []byte(in.entries[i].Leaf), reader)
		must(in.t, err)
		hashes = append(hashes, more...)
	}
	root, err := tlog.TreeHash(int64(n), reader)
	must(in.t, err)
	signed, err := note.Sign(&note.Note{Text: checkpoint.Checkpoint{Origin: in.signer.Name(), Size: int64(n), Root: root}.Text()}, in.signer)
	must(in.t, err)
	return signed
}

func (in *insider) export() []byte {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	must(in.t, enc.Encode(map[string]any{"format": "consentgate-audit-export-1", "vkey": in.vkey, "checkpoint": string(in.checkpoint(len(in.entries)))}))
	for _, e := range in.entries {
		must(in.t, enc.Encode(e))
	}
	return out.Bytes()
}

// insiders are logs whose every hash and signature is right.
var insiders = map[string]struct {
	do   func(in *insider)
	want string // "": ok
}{
	"a call":              {func(in *insider) { in.of(store.TypeSealed, in.granted("a"), "") }, ""},
	"a call that goes on": {func(in *insider) { in.granted("a") }, ""},
	"an end twice": {func(in *insider) {
		g := in.granted("a")
		in.of(store.TypeSealed, g, "")
		in.of(store.TypeSealed, g, "")
	}, "entry 3: a recording ends whose consent"},
	"an end without consent": {func(in *insider) { in.of(store.TypeFailed, consent.Hash{1}, "") }, "entry 1: a recording ends whose consent"},
	"a failed consent":       {func(in *insider) { in.of(store.TypeConsent, in.granted("a"), `,"kind":"failed"`) }, ""},
	"an unreadable payload":  {func(in *insider) { in.log(store.TypeSealed, consent.Hash{}, "{") }, "entry 1: the payload can't be read"},
	"an erasure": {func(in *insider) {
		g := in.granted("a")
		in.of(store.TypeSealed, g, "")
		in.granted("b")
		in.of(store.TypeErased, g, `,"payloads":[1,2]`)
		in.lose(1, 2)
	}, ""},
	"an erasure twice": {func(in *insider) {
		g := in.granted("a")
		in.of(store.TypeSealed, g, "")
		in.of(store.TypeErased, g, `,"payloads":[1,2]`)
		in.of(store.TypeErased, g, "")
		in.lose(1, 2)
	}, ""},
	"an erasure before the end was told": {func(in *insider) {
		g := in.granted("a")
		in.of(store.TypeErased, g, `,"payloads":[1]`)
		in.log(store.TypeSealed, consent.Hash{}, `{"grant":"`+g.String()+`"}`)
		in.lose(1)
	}, ""},
	"a database written anew": {func(in *insider) {
		in.log(store.TypeCompact, consent.Hash{}, `{"database":"keys.db","before":2,"after":1}`)
	}, ""},
	"an erasure that isn't done": {func(in *insider) {
		in.of(store.TypeErased, in.granted("a"), `,"payloads":[1]`)
	}, "entry 1: the payload is still there, and entry 2 says"},
	"an erasure of more than its grant": {func(in *insider) {
		g := in.granted("a")
		in.log("disk.low", consent.Hash{}, `{}`)
		in.of(store.TypeErased, g, `,"payloads":[1,2]`)
		in.lose(1, 2)
	}, "entry 2: the payload is missing"},
	"an erasure that lists another's": {func(in *insider) {
		g := in.granted("a")
		in.granted("b")
		in.of(store.TypeErased, g, `,"payloads":[1,2]`)
		in.lose(1)
	}, "entry 3: the erasure doesn't list"},
	"an erasure of another under this one's mark": {func(in *insider) {
		g, other := in.granted("a"), in.granted("b")
		in.log(store.TypeErased, other, `{"grant":"`+g.String()+`","payloads":[2]}`)
		in.lose(2)
	}, "entry 3: the entry bears the mark of a grant that it isn't of"},
	"an entry under another's mark": {func(in *insider) {
		g, other := in.granted("a"), in.granted("b")
		in.log("recording.played", other, `{"grant":"`+g.String()+`"}`)
	}, "entry 3: the entry bears the mark"},
	"an entry that names its recording": {func(in *insider) {
		g := in.granted("a")
		in.of(store.TypeStarted, g, `,"recording":"r"`)
		in.log("recording.played", g, `{"recording":"r"}`)
	}, ""},
	"an entry that names another recording": {func(in *insider) {
		g := in.granted("a")
		in.of(store.TypeStarted, g, `,"recording":"r"`)
		in.log("recording.played", g, `{"recording":"other"}`)
	}, "entry 3: the entry bears the mark"},
	"a payload without a word": {func(in *insider) {
		in.of(store.TypeSealed, in.granted("a"), "")
		in.lose(2)
	}, "entry 2: the payload is missing"},
	"an erasure's own payload": {func(in *insider) {
		in.of(store.TypeErased, in.granted("a"), `,"payloads":[1]`)
		in.lose(1, 2)
	}, "entry 2: the payload is missing"},
	"a month": {func(in *insider) {
		in.of(store.TypeSealed, in.granted("a"), "")
		in.log("user.login", consent.Hash{}, `{}`)
		in.erased(3)
		in.log("user.login", consent.Hash{}, `{}`)
		in.lose(0)
		in.erased(5)
		in.lose(3, 4)
	}, "erased up to entry 4"},
	"a month, and an erasure's own payload": {func(in *insider) {
		g := in.granted("a")
		in.of(store.TypeErased, g, `,"payloads":[1]`)
		in.erased(3)
		in.lose(0, 1, 2)
	}, ""},
	"more than the month": {func(in *insider) {
		in.log("user.login", consent.Hash{}, `{}`)
		in.log("user.login", consent.Hash{}, `{}`)
		in.erased(2)
		in.lose(0, 1, 2)
	}, "entry 2: the payload is missing"},
	"a month with a recording's": {func(in *insider) {
		in.granted("a")
		in.log("user.login", consent.Hash{}, `{}`)
		in.erased(3)
		in.lose(0, 1, 2)
	}, "entry 1: the payload is missing"},
	"less than the month": {func(in *insider) {
		in.log("user.login", consent.Hash{}, `{}`)
		in.erased(2)
		in.lose(0)
	}, "entry 1: the payload is still there, and entry 2 says"},
	"a month that is to come": {func(in *insider) {
		in.log("payloads.erased", consent.Hash{}, `{}`)
		in.log("payloads.erased", consent.Hash{1}, `{}`)
		in.erased(4)
	}, "entry 1: it doesn't say up to where"},
	"a month once more": {func(in *insider) {
		in.erased(1)
		in.erased(1)
		in.lose(0)
	}, "entry 2: it doesn't say up to where"},
	"no payload at all": {func(in *insider) {
		in.granted("a")
		in.lose(0, 1)
	}, ""},
	"a log that version 1 began": {func(in *insider) {
		in.entries[0].Leaf = strings.TrimSuffix(in.entries[0].Leaf, " "+markOf(consent.Hash{})+"\n") + "\n"
		in.log(store.TypeConsent, consent.Hash{}, `{"kind":"granted"}`)
		in.of(store.TypeErased, consent.Hash(sha256.Sum256([]byte(`{"kind":"granted"}`))), `,"payloads":[1]`)
		in.lose(1)
	}, ""},
	"the clock put back": {func(in *insider) {
		in.at = in.at.Add(-time.Hour)
		in.granted("a")
		in.log(store.TypeClock, consent.Hash{}, `{}`)
		in.at = in.at.Add(-time.Hour)
		in.granted("b")
	}, ""},
}

// TestTheVerifierInPythonSaysTheSameOfWhatAnInsiderSigned, word for word.
func TestTheVerifierInPythonSaysTheSameOfWhatAnInsiderSigned(t *testing.T) {
	for name, c := range insiders {
		in := newInsider(t)
		c.do(in)
		ours, theirs := both(t, in.export())
		if ours != theirs {
			t.Errorf("%s: ours\n%stheirs\n%s", name, ours.out, theirs.out)
		}
		if c.want == "" && ours.code != exitOK || !strings.Contains(ours.out, c.want) {
			t.Errorf("%s: want %q\n%s", name, c.want, ours.out)
		}
	}
}

// TestTheVerifierInPythonSaysTheSameOfCheckpoints that an auditor kept, of
// witnesses' files, and of cosignatures.
func TestTheVerifierInPythonSaysTheSameOfCheckpoints(t *testing.T) {
	in := newInsider(t)
	for range 20 {
		in.granted("a call")
	}
	dir := t.TempDir()
	file := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, content, 0o600))
		return path
	}
	line := func(signed []byte) []byte {
		b, err := json.Marshal(checkpoint.Line{At: time.Now(), Checkpoint: string(signed)})
		must(t, err)
		return append(b, '\n')
	}
	rewritten := newInsider(t)
	rewritten.signer, rewritten.vkey = in.signer, in.vkey
	for range 30 {
		rewritten.granted("another past")
	}
	cosign, wkey := cosigner(t)
	_, stranger := cosigner(t)
	cosigned := append(in.checkpoint(13), cosign(in.checkpoint(13))...)
	vkey := file("vkey", []byte(in.vkey+"\n"))
	lines := bytes.Join([][]byte{line(in.checkpoint(3)), line(in.checkpoint(7)), []byte("{\"at\":\"20\n"), line(in.checkpoint(21))}, nil)
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"the key":                  {[]string{"--vkey", vkey}, "ok"},
		"another key":              {[]string{"--vkey", file("other", []byte(newInsider(t).vkey))}, ""},
		"two of its checkpoints":   {[]string{"--checkpoint", file("a", in.checkpoint(5)), "--checkpoint", file("b", in.checkpoint(21))}, "and 1 before"},
		"of the empty log":         {[]string{"--checkpoint", file("c", in.checkpoint(0))}, "continues 0 "},
		"one of another history":   {[]string{"--checkpoint", file("d", in.checkpoint(5)), "--checkpoint", file("e", rewritten.checkpoint(9))}, "bad: entry 8: the log's beginning"},
		"one of a longer history":  {[]string{"--checkpoint", file("f", rewritten.checkpoint(31))}, "bad: entry 21: the checkpoint given has 31 entries, the log only 21"},
		"a witness's file":         {[]string{"--checkpoint", file("g", lines)}, "and 2 before"},
		"and another history's":    {[]string{"--checkpoint", file("h", append(lines, line(rewritten.checkpoint(12))...))}, "bad: entry 11: the log's beginning"},
		"a stranger's checkpoint":  {[]string{"--checkpoint", file("i", newInsider(t).checkpoint(1))}, ""},
		"a forged line":            {[]string{"--checkpoint", file("j", append(lines, line(bytes.Replace(in.checkpoint(5), []byte("\n5\n"), []byte("\n6\n"), 1))...))}, ""},
		"a cosigned one":           {[]string{"--checkpoint", file("k", cosigned), "--witness-key", file("w", []byte(wkey))}, "cosigned by witness.example/w at 13 entries"},
		"one that isn't":           {[]string{"--checkpoint", file("l", in.checkpoint(13)), "--witness-key", file("x", []byte(wkey))}, "no checkpoint is cosigned"},
		"another's cosignature":    {[]string{"--checkpoint", file("m", cosigned), "--witness-key", file("y", []byte(stranger))}, "no checkpoint is cosigned"},
		"cosigned and rewritten":   {[]string{"--checkpoint", file("n", append(rewritten.checkpoint(9), cosign(rewritten.checkpoint(9))...)), "--witness-key", file("z", []byte(wkey))}, "bad: entry 8"},
		"a key that isn't one":     {[]string{"--witness-key", vkey}, ""},
		"a checkpoint's byte gone": {[]string{"--checkpoint", file("o", in.checkpoint(5)[1:])}, ""},
	} {
		ours, theirs := both(t, in.export(), c.args...)
		if ours != theirs {
			t.Errorf("%s: ours %d\n%stheirs %d\n%s", name, ours.code, ours.out, theirs.code, theirs.out)
		}
		if !strings.Contains(ours.out, c.want) || c.want == "" && ours.code != exitFail {
			t.Errorf("%s: want %q: %d\n%s", name, c.want, ours.code, ours.out)
		}
	}
}

// cosigner is a witness's key, and what it puts under a checkpoint (C2SP
// tlog-cosignature).
func cosigner(t *testing.T) (cosign func(signed []byte) []byte, vkey string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	const name = "witness.example/w"
	raw := append([]byte{4}, public...)
	id := sha256.Sum256(append([]byte(name+"\n"), raw...))
	return func(signed []byte) []byte {
		text, _, _ := bytes.Cut(signed, []byte("\n\n"))
		at := uint64(1764072000)
		sig := ed25519.Sign(private, append(fmt.Appendf(nil, "cosignature/v1\ntime %d\n", at), append(text, '\n')...))
		sig = append(append(bytes.Clone(id[:4]), binary.BigEndian.AppendUint64(nil, at)...), sig...)
		return []byte("— " + name + " " + base64.StdEncoding.EncodeToString(sig) + "\n")
	}, fmt.Sprintf("%s+%x+%s", name, id[:4], base64.StdEncoding.EncodeToString(raw))
}

// realExport is the export of a store that recorded, erased and was witnessed.
func realExport(t *testing.T) (export []byte, args []string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	file := filepath.Join(t.TempDir(), "witness.log")
	config := filepath.Join(t.TempDir(), "config.yaml")
	must(t, os.WriteFile(config, []byte("data_dir: "+dir+"\n"+minimal), 0o600))
	for n := range 2 {
		s, err := store.Open(store.Options{Dir: dir, Node: "n", Version: "v", Config: fmt.Sprint(n), Witnesses: []witness.Config{{File: file}}})
		must(t, err)
		for range 3 {
			g := grantFrom(t, s.Audit())
			r, err := s.Create(context.Background(), g)
			must(t, err, r.Seal(time.Now(), "hang-up"))
			if n == 0 {
				must(t, s.Erase(context.Background(), g.Hash(), "asked"))
			}
		}
		must(t, s.Close())
	}
	code, out, errs := program(t, "export", "--config", config)
	if code != exitOK {
		t.Fatal(errs)
	}
	return []byte(out), []string{"--checkpoint", file, "--vkey", filepath.Join(dir, store.VerifierFile)}
}

// grantFrom goes the only way to a grant: a yes.
func grantFrom(t *testing.T, l consent.Ledger) consent.Grant {
	t.Helper()
	policy := &consent.Policy{Name: "p", Action: consent.Ask, Parties: []consent.Party{consent.Remote},
		Purpose: consent.Purpose{Name: "training", Retention: time.Hour}, Accept: '1', Decline: '2', Attempts: 1}
	s := consent.NewSession(&consent.Call{ID: "c", Trunk: "main", Direction: consent.Inbound}, policy, l)
	s.Step(consent.Event{Kind: consent.Start, At: time.Now()})
	s.Step(consent.Event{Kind: consent.PromptEnd, At: time.Now(), Heard: consent.Heard{Complete: true}})
	acts, _ := s.Step(consent.Event{Kind: consent.KeyPressed, At: time.Now(), Press: consent.Press{Key: '1'}})
	for _, a := range acts {
		if a.Do == consent.Commit {
			acts, _ = s.Step(s.Commit(context.Background(), a.Record))
		}
	}
	for _, a := range acts {
		if a.Do == consent.Create {
			return a.Grant
		}
	}
	t.Fatal("no grant")
	return consent.Grant{}
}

// TestTheVerifierInPythonFindsWhatOursFinds in a real export of which lines are
// taken, exchanged and repeated, and bytes changed. It may refuse what ours
// passes over, a field's name in capitals; never the other way round.
func TestTheVerifierInPythonFindsWhatOursFinds(t *testing.T) {
	export, args := realExport(t)
	ours, theirs := both(t, export, args...)
	if ours != theirs || ours.code != exitOK || !strings.Contains(ours.out, "12 payloads are erased") {
		t.Fatalf("control: ours %d\n%stheirs %d\n%s", ours.code, ours.out, theirs.code, theirs.out)
	}
	lines := bytes.SplitAfter(bytes.TrimSuffix(export, []byte("\n")), []byte("\n"))
	join := func(parts ...[][]byte) []byte {
		var out []byte
		for _, p := range parts {
			out = append(out, bytes.Join(p, nil)...)
		}
		return out
	}
	changed := map[string][]byte{
		"a line removed":   join(lines[:6], lines[7:]),
		"the last removed": join(lines[:len(lines)-1]),
		"lines exchanged":  join(lines[:6], lines[7:8], lines[6:7], lines[8:]),
		"a line twice":     join(lines[:7], lines[6:]),
		"only the header":  lines[0],
		"no header":        join(lines[1:]),
		"nothing":          nil,
		"an old beginning": join(lines[:1], lines[1:9]),
	}
	for n := range 24 {
		b := bytes.Clone(export)
		at := mathrand.IntN(len(b))
		b[at] ^= 1 << mathrand.IntN(8)
		changed[fmt.Sprintf("change %d: byte %d", n, at)] = b
	}
	for name, b := range changed {
		ours, theirs := both(t, b, args...)
		if ours.code != exitOK && theirs.code == exitOK || ours.code == exitOK && theirs.code == exitOK && ours != theirs ||
			!strings.HasPrefix(name, "change") && ours.code == exitOK {
			t.Errorf("%s: ours %d\n%stheirs %d\n%s", name, ours.code, ours.out, theirs.code, theirs.out)
		}
	}
}
