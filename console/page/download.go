package page

import (
	"net/http"
	"time"
)

// patience is how long a part of a file may take to be sent.
const patience = 30 * time.Second

// download is a file that is sent as it is made. Until its first byte an error may
// still be a page.
type download struct {
	v          *visit
	kind, name string
	began      bool
	control    *http.ResponseController
}

func (v *visit) download(kind, name string) *download {
	return &download{v: v, kind: kind, name: name, control: http.NewResponseController(v.w)}
}

// Write is io.Writer's.
func (d *download) Write(p []byte) (int, error) {
	if !d.began {
		d.began = true
		h := d.v.w.Header()
		h.Set("Content-Type", d.kind)
		h.Set("Content-Disposition", `attachment; filename="`+d.name+`"`)
		h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	}
	// The limit of an answer is for pages; where there is none that can be moved, it
	// stays.
	_ = d.control.SetWriteDeadline(time.Now().Add(patience))
	return d.v.w.Write(p)
}

// end cuts the connection where the file broke off: half of it must not look whole.
func (d *download) end(err error) error {
	if err == nil || !d.began {
		return err
	}
	d.v.c.Log.Error("a file of the console broke off", "error", err)
	panic(http.ErrAbortHandler)
}
