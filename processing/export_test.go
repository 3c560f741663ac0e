package processing

// Texts are all sentences.
func Texts() map[string][2]string { return texts }
