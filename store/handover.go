package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"filippo.io/age"
)

// Sealed writes a recording as an age file for recipients: the capture itself, all
// of it, with the consent record and both parties' numbers. They can open it with
// any age program (docs/recording-format.md has the recipe). The payload is the
// recording's own, under its own key; only the header is theirs. Who gets it
// keeps it: erasing reaches no copy. It logs nothing; ErrNotFound, ErrDamaged,
// ErrRestricted: as they say. An error after the first byte leaves w with a file that doesn't open.
//
// A recording that isn't sealed yet, or that an earlier version sealed, is
// encrypted anew.
func (s *Store) Sealed(ctx context.Context, id string, w io.Writer, to ...age.Recipient) (err error) {
	if err := s.mayUse(id); err != nil {
		return err
	}
	r, err := s.openReel(ctx, id)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	if r.fault != "" {
		return fmt.Errorf("%w: %s", ErrDamaged, r.fault)
	}
	if r.sealed == nil {
		return s.sealedAnew(ctx, r, w, to)
	}
	header, err := ageHeader(r.key, to)
	if err != nil {
		return err
	}
	if _, err := r.file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("reading recording %s: %w", id, err)
	}
	own, err := age.ExtractHeader(io.LimitReader(r.file, 4<<10))
	if err == nil {
		_, err = r.file.Seek(int64(len(own)), io.SeekStart)
	}
	if err != nil {
		return fmt.Errorf("reading recording %s: %w", id, err)
	}
	if _, err = io.Copy(w, io.MultiReader(bytes.NewReader(header), &pausing{ctx, r.file})); err != nil {
		return fmt.Errorf("handing recording %s over: %w", id, err)
	}
	return nil
}

// sealedAnew is Sealed of what has no sealed file.
func (s *Store) sealedAnew(ctx context.Context, r *reel, w io.Writer, to []age.Recipient) error {
	enc, err := age.Encrypt(w, to...)
	if err != nil {
		return fmt.Errorf("handing recording %s over: %w", r.id, err)
	}
	out, index, need := newStandardWriter(enc), indexer{}, scout{rate: narrow}
	for {
		c, err := r.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		index.take(c, out.off)
		if err := errors.Join(ctx.Err(), need.take(c), out.put(c)); err != nil {
			return fmt.Errorf("handing recording %s over: %w", r.id, err)
		}
	}
	if r.out.Damaged != "" {
		return fmt.Errorf("%w: %s", ErrDamaged, r.out.Damaged)
	}
	last := sealNote{ID: r.id, Frames: r.out.Frames, Hash: r.out.Hash, Length: r.out.Length.Microseconds(), Spoken: need.spoken, Index: index.done()}
	return errors.Join(out.close(last), enc.Close())
}

// pausing reads until ctx ends.
type pausing struct {
	ctx context.Context
	io.Reader
}

func (p *pausing) Read(b []byte) (int, error) {
	if err := p.ctx.Err(); err != nil {
		return 0, err
	}
	return p.Reader.Read(b)
}

// ErrNoEncoder means that no program is there that makes Ogg Opus.
var ErrNoEncoder = errors.New("making Ogg Opus needs the program opusenc (Debian: opus-tools) or ffmpeg, and neither is installed")

// opusEncoders read a WAV file and write Ogg Opus, the first that is there.
var opusEncoders = [][]string{
	{"opusenc", "--quiet", "--bitrate", "48", "--ignorelength", "-", "-"},
	{"ffmpeg", "-loglevel", "error", "-f", "wav", "-i", "pipe:0", "-c:a", "libopus", "-b:a", "48k", "-f", "ogg", "pipe:1"},
}

// Opus renders a recording as Ogg Opus, by a program of the system: stereo, for
// listening; it isn't the original. Nothing of it touches the disk. ErrRestricted:
// as WAV.
func (s *Store) Opus(ctx context.Context, id string, w io.Writer, o WAVOptions) (Reading, error) {
	if err := s.mayUse(id); err != nil {
		return Reading{}, err
	}
	o.G711 = false
	for _, argv := range opusEncoders {
		if _, err := exec.LookPath(argv[0]); err == nil {
			return s.throughProgram(ctx, id, w, o, argv)
		}
	}
	return Reading{}, ErrNoEncoder
}

func (s *Store) throughProgram(ctx context.Context, id string, w io.Writer, o WAVOptions, argv []string) (Reading, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = w, &said
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return Reading{}, fmt.Errorf("starting %s: %w", argv[0], err)
	}
	reading, err := s.render(ctx, id, in, o)
	if err != nil {
		cancel() // what it has isn't all
	}
	err = errors.Join(err, in.Close())
	if ended := cmd.Wait(); ended != nil {
		err = errors.Join(err, fmt.Errorf("%s: %w: %s", argv[0], ended, strings.TrimSpace(said.String())))
	}
	return reading, err
}
