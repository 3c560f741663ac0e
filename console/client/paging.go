package client

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strconv"
)

// pages follows cursors until there is no next one, or as many items as --limit says
// have come; 0 is all. Items go to each as they come, so that a long list needs
// little memory.
type pages struct {
	path   string
	query  url.Values
	items  string // member of the answer that has them
	next   string // member that has the cursor
	cursor string // parameter that takes it
	most   int    // items that a page may have
}

// walk returns the cursor where it stopped; "" at the end.
func (t *task) walk(p pages, each func(json.RawMessage) error) (rest string, err error) {
	limit, err := strconv.Atoi(t.text("limit"))
	if err != nil {
		return "", usageError("--limit is a number")
	}
	for n := 0; ; {
		page := p.most
		if limit > 0 {
			page = min(page, limit-n)
		}
		p.query.Set("limit", strconv.Itoa(page))
		a, err := t.client.ask(t.ctx, "GET", p.path, p.query, nil)
		if err != nil {
			return "", err
		}
		var said map[string]json.RawMessage
		var items []json.RawMessage
		if err := a.decode(&said); err != nil {
			return "", err
		}
		if err := json.Unmarshal(said[p.items], &items); err != nil {
			return "", fmt.Errorf("reading what the gate said: there are no %s: %w", p.items, err)
		}
		for _, it := range items {
			if err := each(it); err != nil {
				return "", err
			}
		}
		n += len(items)
		next := text(said[p.next])
		if next == "" || limit > 0 && n >= limit {
			return next, nil
		}
		if next == p.query.Get(p.cursor) || len(items) == 0 {
			return "", fmt.Errorf("the gate's list doesn't end: it gives cursor %q again", plain(next))
		}
		p.query.Set(p.cursor, next)
	}
}

// text is a JSON string's, or a number's.
func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}

// list shows a list: as JSON, with where it stopped, or as a table whose first row
// is given.
func (t *task) list(p pages, heads []string, row func(json.RawMessage) ([]string, error)) error {
	if t.is("json") {
		return t.listJSON(p)
	}
	out := table{rows: [][]string{heads}}
	rest, err := t.walk(p, func(it json.RawMessage) error {
		cells, err := row(it)
		if err == nil {
			out.add(cells...)
		}
		return err
	})
	if err != nil {
		return err
	}
	if len(out.rows) == 1 {
		t.note("there is nothing")
	}
	if err := out.write(t.out); err != nil {
		return err
	}
	if rest != "" {
		t.note("there is more: --limit 0 lists all, --%s %s goes on from here", p.cursor, plain(rest))
	}
	return nil
}

func (t *task) listJSON(p pages) error {
	if _, err := fmt.Fprintf(t.out, "{%q: [", p.items); err != nil {
		return err
	}
	between := "\n"
	rest, err := t.walk(p, func(it json.RawMessage) error {
		_, err := io.WriteString(t.out, between+string(it))
		between = ",\n"
		return err
	})
	if err != nil {
		return err
	}
	end := "\n]}\n"
	if rest != "" {
		end = fmt.Sprintf("\n], %q: %q}\n", p.next, rest)
	}
	_, err = io.WriteString(t.out, end)
	return err
}

// paging are the flags of a list that has pages.
func paging(cursor string) []Flag {
	return []Flag{{Name: "limit", Kind: Number, Default: "100", About: "list so many; 0 is all"},
		{Name: cursor, About: "go on from where a list stopped"}}
}
