package prompt

import (
	"fmt"

	"consentgate/consent"
)

// ExampleController and ExamplePurpose are the example configuration's, which
// the WAV files that come with the program speak for.
const ExampleController = "Example Ltd"

// ExamplePurpose is the purpose's text by language.
var ExamplePurpose = map[string]string{
	"en": "staff training",
	"de": "die Schulung unserer Mitarbeiter",
	"fr": "la formation de notre personnel",
	"es": "la formación de nuestro personal",
	"it": "la formazione del nostro personale",
	"nl": "de training van onze medewerkers",
	"pl": "szkolenia naszych pracowników",
	"pt": "a formação dos nossos colaboradores",
}

// BuiltInTexts are the texts of one language's WAV files, by kind.
func BuiltInTexts(language string) (map[string]string, error) {
	p := languages[language]
	if p == nil {
		return nil, fmt.Errorf("there are no texts in %q", language)
	}
	text, err := Text(&consent.Policy{Language: language, Accept: '1', Decline: '2', Withdraw: "*9",
		Purpose: consent.Purpose{Text: ExamplePurpose}}, consent.Controller{Name: ExampleController})
	if err != nil {
		return nil, err
	}
	return map[string]string{"consent": text, "notice": p["notice"], "stopped": p["stopped"]}, nil
}
