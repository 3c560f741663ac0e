package pack

import (
	"archive/zip"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Write writes the pack as a zip: breach.json, a page in each language,
// affected.csv with numbers, and the log's checkpoint with the key that verifies
// it. Nothing of it counts unless it returns nil.
func (p Pack) Write(w io.Writer) error {
	z := zip.NewWriter(w)
	file := func(name string, write func(io.Writer) error) error {
		f, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: p.Made})
		if err == nil {
			err = write(f)
		}
		if err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
		return nil
	}
	text := func(s string) func(io.Writer) error {
		return func(w io.Writer) error { _, err := io.WriteString(w, s); return err }
	}
	return errors.Join(
		file("breach.json", func(w io.Writer) error {
			enc := json.NewEncoder(w)
			enc.SetIndent("", "  ")
			return enc.Encode(p)
		}),
		file("breach.en.html", func(w io.Writer) error { return p.page(w, "en") }),
		file("breach.de.html", func(w io.Writer) error { return p.page(w, "de") }),
		file("affected.csv", p.list),
		file("checkpoint.txt", text(p.Log.Checkpoint)),
		file("log.vkey", text(p.Log.VKey+"\n")),
		z.Close())
}

// list is whose data was touched: for the officer alone.
func (p Pack) list(w io.Writer) error {
	out := csv.NewWriter(w)
	rows := [][]string{{"recording", "consented_at", "purpose", "remote", "local", "plays", "exports", "users", "remarks"}}
	for _, a := range p.affected {
		started, remark := "", ""
		if !a.started.IsZero() {
			started = a.started.Format(time.RFC3339)
		}
		if !a.known {
			remark = "what the log said of it is erased, or sealed"
		}
		rows = append(rows, []string{a.recording, started, a.purpose, a.remote, a.local, strconv.Itoa(a.plays), strconv.Itoa(a.exports),
			strings.Join(slices.Sorted(maps.Keys(a.by)), " "), remark})
	}
	for _, row := range rows {
		for i := range row {
			row[i] = cell(row[i])
		}
	}
	return out.WriteAll(rows)
}

// cell keeps what a caller calls themselves from being a formula of a spreadsheet.
func cell(s string) string {
	if s == "" || !strings.ContainsRune("=+-@\t\r", rune(s[0])) || s[0] == '+' && strings.Trim(s[1:], "0123456789") == "" {
		return s
	}
	return "'" + s
}
