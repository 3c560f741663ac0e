package breach

// Remembered counts all that a detector keeps.
func (d *Detector) Remembered() (n int) {
	for _, keys := range d.counts {
		n += len(keys)
		for _, c := range keys {
			n += len(c.seen)
		}
	}
	return n
}
