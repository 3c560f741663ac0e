package evidence

import (
	"maps"
	"slices"

	"consentgate/consent"
)

// Languages are those that the page of a bundle can be in.
func Languages() []string { return slices.Sorted(maps.Keys(texts)) }

// words are a language's texts. Every one of them is in every language.
type words struct {
	Time string // layout of a time

	Title, Intro, None, From, For, Made, Request, Contact, Address string
	Recording, Length, Call, Other, Purpose, Basis, BasisText      string
	Until, Ended, Audio, OwnOnly, NoAudio, Erased, Damaged         string
	Elsewhere                                                      string
	NotRendered, Consent, Gave, Heard, ToTheEnd, NotToTheEnd       string
	NotAsked, Fingerprint, Log, After                              string
	When, What, Who, You, ForYou, TheOther, TheController          string
	Gaps, GapFrom, GapTo, GapWhy, NoGaps, Several                  string
	Listened, Why, Part, Whole, Nobody, Person, Exported, Played   string
	YouAsked, ForClaims                                            string
	AllData, Categories, Recipients, NoRecipients, Transfers       string
	NoTransfers, Source, Automated, Rights, RightsHow, Complaint   string
	Files, FilesText                                               string

	Ways   map[string]string // how a key came
	Calls  [4]string         // called, was called; answered the same way by the other side
	Acts   map[consent.Kind]string
	Causes map[string]string // of gaps
	Ends   map[string]string // why a recording ended
	Cause  string            // before a cause that has no words
	List   []string
}

var texts = map[string]*words{
	"en": {
		Time:  "2 Jan 2006, 15:04:05 MST",
		Title: "Recordings of your calls", Intro: "You asked for the data that we keep of your recorded calls. This is all of it.",
		None: "We keep no recording of a call with this number.", From: "From", For: "For", Made: "Made on", Request: "Request",
		Contact: "Contact", Address: "Address",
		Recording: "Recording", Length: "Length", Call: "Call", Other: "Other party", Purpose: "Purpose", Basis: "Legal basis",
		BasisText: "your consent, or that of the other party (GDPR Art. 6(1)(a))", Until: "Kept until", Ended: "Ended because", Audio: "Audio",
		OwnOnly:   "Only your own voice is in it: the other party has rights, too (GDPR Art. 15(4)). What the other party said is silence.",
		Elsewhere: "This number was called, and another one answered. What was said and agreed to is of whoever answered, and isn't in here. If that was you, tell us the number at which you did.",
		NoAudio:   "There is no audio of it.", Erased: "It was erased on", Damaged: "It is damaged: ",
		NotRendered: "Sound in these encodings can't be played and is silence here: ",
		Consent:     "Consent", Gave: "You agreed on %s by pressing the key %s, which came %s.",
		Heard: "Before, you heard the notice “%s” in the language “%s” for %s,", ToTheEnd: "to its end.", NotToTheEnd: "not to its end.",
		NotAsked: "You were not asked yourself: the rule of this call asks the other party.", Fingerprint: "Fingerprint of the notice (SHA-256)",
		Log: "Entry %d of our log", After: "What happened then", When: "When", What: "What", Who: "Who",
		You: "you", ForYou: "we, for you", TheOther: "the other party", TheController: "we",
		Gaps: "What is missing", GapFrom: "From", GapTo: "To", GapWhy: "Why", NoGaps: "Nothing is missing.", Several: " (%d times, %d ms in all)",
		Listened: "Who listened", Why: "Why", Part: "Part", Whole: "all of it", Nobody: "Nobody has listened to it or taken a copy.",
		Person: "Employee", Exported: "took a copy", Played: "listened", YouAsked: "you asked for it", ForClaims: "for legal claims",
		AllData: "About all of it", Categories: "What is kept: your voice, your telephone number or address, the time of the call, and the evidence of your consent.",
		Recipients: "Who gets it", NoRecipients: "Nobody outside gets it.", Transfers: "Transfers to other countries",
		NoTransfers: "None that we were told of.", Source: "It comes from your calls alone.",
		Automated: "Nothing is decided about you by a machine with it.", Rights: "Your rights",
		RightsHow: "To use them, write to %s.", Complaint: "You may complain to a data protection authority (Art. 77)",
		Files: "The files", FilesText: "The list MANIFEST.sha256 has a fingerprint of every file; “sha256sum -c MANIFEST.sha256” checks them. " +
			"bundle.json, receipt.jsonld and vcon.json say the same for machines (Art. 20).",
		Ways:  map[string]string{"rfc4733": "as a telephone event", "info": "as a signalling message", "inband": "as a tone", "": "by telephone"},
		Calls: [4]string{"you called", "you were called", "you were called", "you called"},
		Acts: map[consent.Kind]string{consent.Granted: "consent was given", consent.Withdrawn: "consent was withdrawn", consent.Paused: "recording was paused",
			consent.Resumed: "recording went on", consent.Failed: "recording failed"},
		Causes: map[string]string{"pause": "the recording was paused", "hold": "the call was on hold", "no-audio": "no sound arrived",
			"no-rtp": "no sound was sent", "loss": "it was lost on the way",
			"writer-drop": "the recorder couldn't keep up", "dtmf": "keys were pressed; their tones are left out"},
		Ends:  map[string]string{consent.EndHangUp: "the call ended", consent.EndWithdrawn: "consent was withdrawn", consent.EndChanged: "somebody else came onto the line"},
		Cause: "another cause: ",
		List: []string{"You may withdraw your consent at any time. What was done before stays lawful (Art. 7(3)).",
			"You may ask again for access (Art. 15).", "You may have what is wrong put right (Art. 16).", "You may have it erased (Art. 17).",
			"You may have its use restricted (Art. 18).", "You may take it with you, or have it sent to somebody else (Art. 20)."},
	},
	"de": {
		Time:  "02.01.2006, 15:04:05 MST",
		Title: "Aufnahmen Ihrer Telefonate", Intro: "Sie haben Auskunft über die Daten verlangt, die wir von Ihren aufgenommenen Telefonaten haben. Das sind alle.",
		None: "Wir haben keine Aufnahme eines Telefonats mit dieser Nummer.", From: "Von", For: "Für", Made: "Erstellt am", Request: "Anfrage",
		Contact: "Kontakt", Address: "Anschrift",
		Recording: "Aufnahme", Length: "Länge", Call: "Anruf", Other: "Gegenseite", Purpose: "Zweck", Basis: "Rechtsgrundlage",
		BasisText: "Ihre Einwilligung oder die der Gegenseite (Art. 6 Abs. 1 Buchst. a DSGVO)", Until: "Aufbewahrt bis", Ended: "Beendet durch", Audio: "Ton",
		OwnOnly:   "Darin ist nur Ihre eigene Stimme: Auch die Gegenseite hat Rechte (Art. 15 Abs. 4 DSGVO). Wo sie spricht, ist Stille.",
		Elsewhere: "Diese Nummer wurde angerufen, und eine andere hat den Anruf angenommen. Was dort gesagt und wozu eingewilligt wurde, gehört dieser Person und ist nicht enthalten. Waren Sie es, nennen Sie uns die Nummer, unter der Sie abgenommen haben.",
		NoAudio:   "Davon gibt es keinen Ton.", Erased: "Sie wurde gelöscht am", Damaged: "Sie ist beschädigt: ",
		NotRendered: "Ton in diesen Verfahren lässt sich nicht abspielen und ist hier Stille: ",
		Consent:     "Einwilligung", Gave: "Sie haben am %s eingewilligt, mit der Taste %s. Sie kam %s.",
		Heard: "Zuvor haben Sie den Hinweis „%s“ in der Sprache „%s“ %s lang gehört,", ToTheEnd: "bis zum Ende.", NotToTheEnd: "nicht bis zum Ende.",
		NotAsked: "Sie selbst wurden nicht gefragt: Die Regel dieses Anrufs fragt die Gegenseite.", Fingerprint: "Fingerabdruck des Hinweises (SHA-256)",
		Log: "Eintrag %d in unserem Protokoll", After: "Was danach geschah", When: "Wann", What: "Was", Who: "Wer",
		You: "Sie", ForYou: "wir, für Sie", TheOther: "die Gegenseite", TheController: "wir",
		Gaps: "Was fehlt", GapFrom: "Von", GapTo: "Bis", GapWhy: "Warum", NoGaps: "Nichts fehlt.", Several: " (%d mal, zusammen %d ms)",
		Listened: "Wer sie gehört hat", Why: "Wozu", Part: "Teil", Whole: "ganz", Nobody: "Niemand hat sie gehört oder kopiert.",
		Person: "Beschäftigte Person", Exported: "hat eine Kopie erstellt", Played: "hat sie gehört", YouAsked: "Sie haben Auskunft verlangt", ForClaims: "für Rechtsansprüche",
		AllData: "Zu allem", Categories: "Gespeichert sind Ihre Stimme, Ihre Telefonnummer oder Adresse, die Zeit des Anrufs und der Nachweis Ihrer Einwilligung.",
		Recipients: "Wer sie bekommt", NoRecipients: "Niemand außerhalb bekommt sie.", Transfers: "Übermittlung in andere Länder",
		NoTransfers: "Keine, von der dieses System weiß.", Source: "Alles stammt allein aus Ihren Telefonaten.",
		Automated: "Keine Maschine entscheidet damit über Sie.", Rights: "Ihre Rechte",
		RightsHow: "Um sie auszuüben, schreiben Sie an %s.", Complaint: "Sie können sich bei einer Datenschutzbehörde beschweren (Art. 77)",
		Files: "Die Dateien", FilesText: "Die Liste MANIFEST.sha256 enthält einen Fingerabdruck jeder Datei; „sha256sum -c MANIFEST.sha256“ prüft sie. " +
			"bundle.json, receipt.jsonld und vcon.json sagen dasselbe für Maschinen (Art. 20).",
		Ways:  map[string]string{"rfc4733": "als Telefon-Ereignis", "info": "als Signalisierungsnachricht", "inband": "als Ton", "": "über das Telefon"},
		Calls: [4]string{"Sie haben angerufen", "Sie wurden angerufen", "Sie wurden angerufen", "Sie haben angerufen"},
		Acts: map[consent.Kind]string{consent.Granted: "Einwilligung gegeben", consent.Withdrawn: "Einwilligung widerrufen", consent.Paused: "Aufnahme angehalten",
			consent.Resumed: "Aufnahme fortgesetzt", consent.Failed: "Aufnahme gescheitert"},
		Causes: map[string]string{"pause": "die Aufnahme war angehalten", "hold": "der Anruf wurde gehalten", "no-audio": "es kam kein Ton an",
			"no-rtp": "es wurde kein Ton gesandt", "loss": "es ging unterwegs verloren",
			"writer-drop": "der Rekorder kam nicht mit", "dtmf": "Tasten wurden gedrückt; ihre Töne sind ausgelassen"},
		Ends:  map[string]string{consent.EndHangUp: "Ende des Anrufs", consent.EndWithdrawn: "Widerruf der Einwilligung", consent.EndChanged: "Wechsel einer Person im Gespräch"},
		Cause: "andere Ursache: ",
		List: []string{"Sie können Ihre Einwilligung jederzeit widerrufen. Was vorher geschah, bleibt rechtmäßig (Art. 7 Abs. 3).",
			"Sie können wieder Auskunft verlangen (Art. 15).", "Sie können Falsches berichtigen lassen (Art. 16).", "Sie können die Löschung verlangen (Art. 17).",
			"Sie können verlangen, dass die Nutzung eingeschränkt wird (Art. 18).", "Sie können die Daten mitnehmen oder an andere übermitteln lassen (Art. 20)."},
	},
}
