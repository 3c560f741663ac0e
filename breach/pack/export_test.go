package pack

import "regexp"

// Sentences are all of the page's.
func Sentences() map[string][2]string { return sentences }

// Asked are the keys that the page asks for.
func Asked() (keys []string) {
	text, err := pageFile.ReadFile("page.html")
	if err != nil {
		panic(err)
	}
	for _, m := range regexp.MustCompile(`call \$?\.T "([a-z_]+)"`).FindAllStringSubmatch(string(text), -1) {
		keys = append(keys, m[1])
	}
	return keys
}
