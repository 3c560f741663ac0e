package client

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

// plain takes out of a text what a terminal would take for commands: callers choose
// their own names.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) || r == ' ' {
			return r
		}
		return '\uFFFD'
	}, s)
}

// table is for people. Its first row has the names.
type table struct{ rows [][]string }

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// write aligns the columns. A table of names alone isn't written.
func (t *table) write(w io.Writer) error {
	if len(t.rows) < 2 {
		return nil
	}
	var b strings.Builder
	tw := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range t.rows {
		for i, cell := range row {
			row[i] = plain(cell)
		}
		fmt.Fprintln(tw, strings.Join(row, "\t")) // empty cells, too: a column ends where a row has none
	}
	_ = tw.Flush() // to memory
	for line := range strings.Lines(b.String()) {
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

// sheet is a list of names and what they are; what is empty is left out.
type sheet struct{ table }

func (s *sheet) line(name, value string) {
	if value != "" {
		s.add(name, value)
	}
}

func (s *sheet) write(w io.Writer) error {
	s.rows = append([][]string{nil}, s.rows...) // no names
	var b bytes.Buffer
	if err := s.table.write(&b); err != nil {
		return err
	}
	_, err := w.Write(bytes.TrimPrefix(b.Bytes(), []byte("\n")))
	return err
}

// moment is a time where the reader is.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

// length is minutes and seconds.
func length(seconds float64) string {
	s := int(seconds + 0.5)
	if s >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
	}
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}

// size is bytes for people.
func size(n int64) string {
	for _, u := range []struct {
		name string
		of   float64
	}{{"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}} {
		if float64(n) >= u.of {
			return fmt.Sprintf("%.1f %s", float64(n)/u.of, u.name)
		}
	}
	return fmt.Sprintf("%d B", n)
}

// marks joins those words whose condition holds.
func marks(words map[string]bool, order ...string) string {
	var out []string
	for _, w := range order {
		if words[w] {
			out = append(out, w)
		}
	}
	return strings.Join(out, ", ")
}

// put writes what the gate said, to scripts as it came.
func (t *task) put(a answer, people func() error) error {
	if !t.is("json") {
		return people()
	}
	if len(bytes.TrimSpace(a.body)) == 0 {
		return nil // done, and nothing to say
	}
	var b bytes.Buffer
	if err := json.Indent(&b, bytes.TrimSpace(a.body), "", "  "); err != nil {
		return fmt.Errorf("reading what the gate said: %w", err)
	}
	b.WriteByte('\n')
	_, err := t.out.Write(b.Bytes())
	return err
}

// say tells people what was done.
func (t *task) say(format string, args ...any) error {
	_, err := fmt.Fprintf(t.out, format+"\n", args...)
	return err
}

// note tells people what isn't a result.
func (t *task) note(format string, args ...any) { fmt.Fprintf(t.errs, format+"\n", args...) }
