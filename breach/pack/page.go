package pack

import (
	"embed"
	"html/template"
	"io"
	"time"
)

//go:embed page.html
var pageFile embed.FS

var pageTemplate = template.Must(template.New("page.html").Funcs(template.FuncMap{
	"at": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") },
}).ParseFS(pageFile, "page.html"))

// mostRows is how many events a page shows; breach.json has all.
const mostRows = 2000

// page writes the page that a person reads.
func (p Pack) page(w io.Writer, lang string) error {
	shown := p.Timeline[:min(len(p.Timeline), mostRows)]
	return pageTemplate.Execute(w, struct {
		Pack
		Lang     string
		T        func(string) string
		Shown    []Event
		More     int
		Measures []string
	}{p, lang, func(key string) string { return sentence(lang, key) }, shown, len(p.Timeline) - len(shown), p.measures[lang]})
}

// sentence is one of the page's, in a language.
func sentence(lang, key string) string {
	if lang == "de" {
		return sentences[key][1]
	}
	return sentences[key][0]
}

// sentences of the page, by key: English, German.
var sentences = map[string][2]string{
	"title":       {"Breach pack", "Unterlagen zu einer Datenschutzverletzung"},
	"lead":        {"For the notification to the supervisory authority (GDPR Art. 33) and the decision whether the data subjects are told (Art. 34). It shows what the audit log has; whether it is a breach, a person decides.", "Für die Meldung an die Aufsichtsbehörde (Art. 33 DSGVO) und die Entscheidung, ob die Betroffenen benachrichtigt werden (Art. 34). Gezeigt wird, was das Protokoll enthält; ob es eine Verletzung ist, entscheidet ein Mensch."},
	"period":      {"Period", "Zeitraum"},
	"user_only":   {"Acts of this user only", "Nur Handlungen dieses Benutzers"},
	"made":        {"Made", "Erstellt"},
	"utc":         {"All times are UTC.", "Alle Zeiten in UTC."},
	"clock":       {"The 72 hours (Art. 33(1))", "Die 72 Stunden (Art. 33 Abs. 1)"},
	"aware":       {"The controller became aware", "Dem Verantwortlichen bekannt seit"},
	"assumed":     {"Assumed: the first alarm of the period. Say with --aware when it really was.", "Angenommen: der erste Alarm des Zeitraums. Der wirkliche Zeitpunkt wird mit --aware angegeben."},
	"deadline":    {"To be notified by", "Zu melden bis"},
	"over":        {"The time is over: the notification has to give the reasons for the delay (Art. 33(1), second sentence).", "Die Frist ist abgelaufen: die Meldung muss die Verzögerung begründen (Art. 33 Abs. 1 Satz 2)."},
	"no_clock":    {"Nobody said when the controller became aware, and there is no alarm in the period.", "Nicht angegeben, wann der Verantwortliche Kenntnis erlangte, und kein Alarm im Zeitraum."},
	"counted":     {"Counted from the moment itself, weekends and holidays included; by Regulation 1182/71 the time begins with the next full hour.", "Gezählt vom Zeitpunkt selbst an, Wochenenden und Feiertage eingeschlossen; nach Verordnung 1182/71 beginnt die Frist mit der nächsten vollen Stunde."},
	"nature":      {"Nature of the breach, people and records affected (Art. 33(3)(a))", "Art der Verletzung, betroffene Personen und Datensätze (Art. 33 Abs. 3 lit. a)"},
	"fill":        {"To be filled in by the controller:", "Vom Verantwortlichen zu ergänzen:"},
	"remote":      {"People at the carrier's side (callers and called), by different numbers", "Personen auf der Netzseite (Anrufende und Angerufene), nach verschiedenen Rufnummern"},
	"local":       {"People at the PBX's side (staff), by different numbers", "Personen an der Telefonanlage (Beschäftigte), nach verschiedenen Rufnummern"},
	"unknown":     {"Recordings whose party isn't known (withheld number, or erased since)", "Aufzeichnungen mit unbekanntem Teilnehmer (unterdrückte Nummer oder inzwischen gelöscht)"},
	"recordings":  {"Recordings affected", "Betroffene Aufzeichnungen"},
	"erased":      {"of them erased by now", "davon inzwischen gelöscht"},
	"plays":       {"Times that they were listened to", "Wie oft sie angehört wurden"},
	"played":      {"Seconds listened to, where the log knows", "Angehörte Sekunden, soweit das Protokoll sie kennt"},
	"exports":     {"Exports", "Ausleitungen"},
	"nobody":      {"Of these, uses by a user whom the log doesn't name any more, the recording having been erased", "Davon Nutzungen, deren Benutzer das Protokoll nicht mehr nennt, weil die Aufzeichnung gelöscht ist"},
	"found":       {"Watched recordings found in searches", "Überwachte Aufzeichnungen in Suchergebnissen"},
	"categories":  {"Data: speech of the calls, numbers and names of the parties, times, evidence of consent.", "Daten: das in den Gesprächen Gesagte, Nummern und Namen der Teilnehmer, Zeiten, Nachweise der Einwilligung."},
	"list":        {"affected.csv lists the recordings with their numbers: for the officer alone.", "affected.csv führt die Aufzeichnungen mit ihren Nummern auf: nur für den Datenschutz."},
	"unseen":      {"Who copies files of the data directory leaves nothing in the log. Without the root key they can't be read; what was exported has left its protection.", "Wer Dateien des Datenverzeichnisses kopiert, hinterlässt nichts im Protokoll. Ohne den Wurzelschlüssel sind sie nicht lesbar; was ausgeleitet wurde, hat diesen Schutz verlassen."},
	"users":       {"Users", "Benutzer"},
	"user":        {"User", "Benutzer"},
	"logins":      {"Logins", "Anmeldungen"},
	"failed":      {"Failed logins", "Fehlgeschlagene Anmeldungen"},
	"contact":     {"Contact (Art. 33(3)(b))", "Anlaufstelle (Art. 33 Abs. 3 lit. b)"},
	"controller":  {"Controller", "Verantwortlicher"},
	"dpo":         {"Data protection officer", "Datenschutzbeauftragter"},
	"consequence": {"Likely consequences (Art. 33(3)(c))", "Wahrscheinliche Folgen (Art. 33 Abs. 3 lit. c)"},
	"measures":    {"Measures (Art. 33(3)(d))", "Maßnahmen (Art. 33 Abs. 3 lit. d)"},
	"in_place":    {"In place", "Vorhanden"},
	"erasure":     {"Erased recordings in the whole log / of them with the root key destroyed, so that no copy can be read", "Gelöschte Aufzeichnungen im ganzen Protokoll / davon mit vernichtetem Wurzelschlüssel, sodass keine Kopie lesbar ist"},
	"alarms":      {"Alarms", "Alarme"},
	"timeline":    {"Timeline", "Ablauf"},
	"entry":       {"Entry", "Eintrag"},
	"time":        {"Time", "Zeit"},
	"what":        {"What", "Was"},
	"recording":   {"Recording", "Aufzeichnung"},
	"detail":      {"Detail", "Einzelheiten"},
	"gone":        {"erased", "gelöscht"},
	"none":        {"none", "keine"},
	"more":        {"more are in breach.json", "weitere stehen in breach.json"},
	"proof":       {"Proof", "Beweis"},
	"proof_text":  {"checkpoint.txt is the log's signed checkpoint: an entry of this page is proved by an export that it verifies.", "checkpoint.txt ist der signierte Prüfpunkt des Protokolls: ein Eintrag dieser Seite wird durch einen Export bewiesen, der damit geprüft ist."},
	"verified":    {"The log was verified when this was made: ok.", "Das Protokoll wurde beim Erstellen geprüft: in Ordnung."},
	"unverified":  {"THE LOG DOESN'T VERIFY:", "DAS PROTOKOLL BESTEHT DIE PRÜFUNG NICHT:"},
}
