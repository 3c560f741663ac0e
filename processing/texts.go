package processing

import (
	"fmt"
	"strings"
	"time"
)

// Languages are those that a record can be written in.
var Languages = []string{"en", "de"}

// texts are the sentences of the record, by key: English, German. %s is the detail.
var texts = map[string][2]string{
	"title":          {"Record of processing activities (GDPR Art. 30(1))", "Verzeichnis von Verarbeitungstätigkeiten (Art. 30 Abs. 1 DSGVO)"},
	"activity":       {"Recording of telephone calls", "Aufzeichnung von Telefongesprächen"},
	"intro":          {"Printed from the configuration of the gate %s by consentgate %s on %s. SHA-256 of the configuration: %s.", "Gedruckt aus der Konfiguration des Gates %s von consentgate %s am %s. SHA-256 der Konfiguration: %s."},
	"gap":            {"(to be filled in by the controller)", "(vom Verantwortlichen zu ergänzen)"},
	"none":           {"none", "keine"},
	"controller":     {"Controller (a)", "Verantwortlicher (a)"},
	"name":           {"Name", "Name"},
	"contact":        {"Contact", "Kontakt"},
	"joint":          {"Joint controller", "Gemeinsam Verantwortlicher"},
	"representative": {"Representative (Art. 27)", "Vertreter (Art. 27)"},
	"dpo":            {"Data protection officer", "Datenschutzbeauftragter"},
	"purposes":       {"Purposes and time limits (b, f)", "Zwecke und Löschfristen (b, f)"},
	"purpose":        {"Purpose", "Zweck"},
	"told":           {"As it is told to who is asked (%s)", "So wird er den Gefragten gesagt (%s)"},
	"basis":          {"Legal basis", "Rechtsgrundlage"},
	"basis_consent":  {"consent, given by a key after the prompt (Art. 6(1)(a), 7)", "Einwilligung durch eine Taste nach der Ansage (Art. 6 Abs. 1 lit. a, Art. 7)"},
	"limit":          {"Erased", "Löschung"},
	"limit_after":    {"%s after the end of the call, earlier on withdrawal or request where that is due, later under a legal hold or a restriction", "%s nach Ende des Gesprächs, früher bei Widerruf oder auf berechtigtes Verlangen, später bei rechtlicher Sperre oder Einschränkung"},
	"calls":          {"Calls", "Gespräche"},
	"no_calls":       {"none: no policy records for this purpose", "keine: keine Regel zeichnet für diesen Zweck auf"},
	"policy":         {"policy %s, %s; asked: %s; withdrawal %s", "Regel %s, %s; gefragt: %s; Widerruf %s"},
	"any":            {"both directions", "beide Richtungen"},
	"inbound":        {"inbound", "eingehend"},
	"outbound":       {"outbound", "ausgehend"},
	"remote":         {"the party at the carrier's side", "der Teilnehmer auf der Seite des Netzbetreibers"},
	"local":          {"the party at the PBX's side", "der Teilnehmer an der Telefonanlage"},
	"by_keys":        {"by keys during the call", "durch Tasten im Gespräch"},
	"by_keys_erases": {"by keys during the call, which erases what was recorded", "durch Tasten im Gespräch, der das Aufgezeichnete löscht"},
	"no_keys":        {"not by keys: the controller has to offer another way (Art. 7(3))", "nicht durch Tasten: der Verantwortliche muss einen anderen Weg anbieten (Art. 7 Abs. 3)"},
	"periods":        {"Time limits for other data (f)", "Löschfristen für andere Daten (f)"},
	"categories":     {"Categories of persons and data (c)", "Kategorien von Personen und Daten (c)"},
	"persons":        {"Persons", "Personen"},
	"data":           {"Data", "Daten"},
	"callers":        {"callers and called persons outside: customers, prospects, suppliers, and who else telephones", "Anrufende und Angerufene von außen: Kunden, Interessenten, Lieferanten und wer sonst telefoniert"},
	"staff":          {"staff who telephone", "Beschäftigte, die telefonieren"},
	"users":          {"users of the console", "Benutzer der Konsole"},
	"voice":          {"what was said in recorded calls (content may be of any kind, special categories of Art. 9 included)", "das in aufgezeichneten Gesprächen Gesagte (beliebigen Inhalts, auch besondere Kategorien nach Art. 9)"},
	"numbers":        {"numbers and names of both parties as they were signalled, direction, times, trunk", "signalisierte Rufnummern und Namen beider Teilnehmer, Richtung, Zeiten, Leitung"},
	"consents":       {"evidence of each consent, refusal and withdrawal: what was played, which key, when", "Nachweise jeder Einwilligung, Ablehnung und jedes Widerrufs: was gespielt wurde, welche Taste, wann"},
	"uses":           {"who listened to or exported what, when and why; logins, failed ones with their address", "wer was wann und wozu gehört oder ausgeleitet hat; Anmeldungen, fehlgeschlagene mit Adresse"},
	"rights":         {"requests of data subjects, holds and restrictions with their reasons", "Anträge Betroffener, Sperren und Einschränkungen mit ihren Gründen"},
	"registrations":  {"registrations of telephones that pass the gate: address of record, contact", "Registrierungen von Telefonen, die das Gate passieren: Adresse, Kontakt"},
	"recipients":     {"Recipients (d)", "Empfänger (d)"},
	"carrier":        {"carrier of trunk %s: signalling and speech of its calls, recorded or not; a controller of its own", "Netzbetreiber der Leitung %s: Signalisierung und Sprache ihrer Gespräche, aufgezeichnet oder nicht; selbst verantwortlich"},
	"witness":        {"witness %s: size and hash of the audit log, no personal data", "Zeuge %s: Größe und Prüfsumme des Protokolls, keine personenbezogenen Daten"},
	"hep":            {"capture server %s: SIP messages of all calls with pseudonyms instead of numbers and names (Art. 4(5))", "Mitschnitt-Server %s: SIP-Nachrichten aller Gespräche mit Pseudonymen statt Nummern und Namen (Art. 4 Nr. 5)"},
	"webhook":        {"webhook %s: alarms, without names", "Webhook %s: Alarme, ohne Namen"},
	"tts":            {"program that speaks prompts, %s: the texts of the purposes, nothing of calls", "Programm für Ansagen, %s: die Texte der Zwecke, nichts von Gesprächen"},
	"vault":          {"key server %s: wrapped keys, no personal data", "Schlüsselserver %s: verpackte Schlüssel, keine personenbezogenen Daten"},
	"archive":        {"object store %s: copies of recordings, encrypted; their number, sizes and times", "Objektspeicher %s: Kopien der Aufnahmen, verschlüsselt; ihre Anzahl, Größen und Zeiten"},
	"identity":       {"provider of identities %s: knows which user logs in, and when", "Anbieter für Identitäten %s: weiß, welcher Benutzer sich wann anmeldet"},
	"subjects":       {"data subjects who ask for their data (Art. 15, 20)", "Betroffene, die ihre Daten verlangen (Art. 15, 20)"},
	"stated":         {"%s", "%s"},
	"transfers":      {"Transfers to third countries (e)", "Übermittlungen in Drittländer (e)"},
	"transfer":       {"%s; safeguards: %s", "%s; Garantien: %s"},
	"no_transfers":   {"None is stated. The gate itself transfers nothing but to the recipients above: whether one of them is in a third country only the controller knows.", "Keine angegeben. Das Gate selbst übermittelt nichts außer an die genannten Empfänger: ob einer davon in einem Drittland ist, weiß nur der Verantwortliche."},
	"requests":       {"closed requests of data subjects: %s", "abgeschlossene Anträge Betroffener: %s"},
	"requests_ever":  {"closed requests of data subjects: no limit is set", "abgeschlossene Anträge Betroffener: keine Frist gesetzt"},
	"consent_log":    {"evidence of a consent to record, and who used the recording: as the recording", "Nachweis einer Einwilligung in die Aufzeichnung und deren Nutzung: wie die Aufzeichnung"},
	"log":            {"evidence of refusals and of calls that weren't asked, logins and what else the audit log has: %s", "Nachweise von Ablehnungen und nicht gefragten Gesprächen, Anmeldungen und was das Protokoll sonst hat: %s"},
	"log_ever":       {"evidence of refusals and of calls that weren't asked, logins and what else the audit log has: no limit is set", "Nachweise von Ablehnungen und nicht gefragten Gesprächen, Anmeldungen und was das Protokoll sonst hat: keine Frist gesetzt"},
	"traces":         {"traces of SIP messages, with pseudonyms: in memory, at most %s", "SIP-Mitschnitte mit Pseudonymen: im Arbeitsspeicher, höchstens %s"},
	"measures":       {"Technical and organisational measures (g, Art. 32(1))", "Technische und organisatorische Maßnahmen (g, Art. 32 Abs. 1)"},
	"not_taken":      {"Not taken, as configured", "Nach der Konfiguration nicht getroffen"},
	"gate":           {"nothing is recorded before a consent that is on stable storage; any doubt means no recording", "nichts wird aufgezeichnet, bevor eine Einwilligung dauerhaft gespeichert ist; jeder Zweifel heißt keine Aufzeichnung"},
	"encryption":     {"recordings, numbers, names and payloads of the audit log are encrypted as they are written (AES-256-GCM, ChaCha20-Poly1305), each recording under a key of its own", "Aufzeichnungen, Nummern, Namen und Inhalte des Protokolls werden beim Schreiben verschlüsselt (AES-256-GCM, ChaCha20-Poly1305), jede Aufzeichnung mit eigenem Schlüssel"},
	"root_key":       {"the root key that wraps all others is held by: %s", "der Wurzelschlüssel, der alle anderen verpackt, liegt in: %s"},
	"erasure":        {"erasure destroys keys; it is final in old blocks and backups when the root key is replaced: %s", "Löschung vernichtet Schlüssel; endgültig, auch in alten Blöcken und Sicherungen, mit dem Austausch des Wurzelschlüssels: %s"},
	"root_backup":    {"the old root key isn't destroyed before there is a backup of the new one", "der alte Wurzelschlüssel wird erst vernichtet, wenn der neue gesichert ist"},
	"audit_log":      {"audit log that can't be changed unnoticed (Merkle tree, signed checkpoints, offline verifier)", "Protokoll, das nicht unbemerkt geändert werden kann (Merkle-Baum, signierte Prüfpunkte, unabhängiger Prüfer)"},
	"witnesses":      {"checkpoints of the audit log are kept outside the gate: %s", "Prüfpunkte des Protokolls liegen außerhalb des Gates: %s"},
	"tls":            {"signalling encrypted by TLS: %s", "Signalisierung mit TLS verschlüsselt: %s"},
	"clear":          {"signalling that may pass unencrypted: %s", "Signalisierung, die unverschlüsselt sein kann: %s"},
	"srtp":           {"speech encrypted by SRTP: %s", "Sprache mit SRTP verschlüsselt: %s"},
	"clear_media":    {"speech that passes unencrypted: %s", "Sprache, die unverschlüsselt ist: %s"},
	"roles":          {"access by role, each use for a consented purpose and logged; users: %s", "Zugriff nach Rollen, jede Nutzung nur für einen eingewilligten Zweck und protokolliert; Benutzer: %s"},
	"console_tls":    {"the console is reached by TLS, or on the machine itself only: %s", "die Konsole ist nur über TLS oder auf der Maschine selbst erreichbar: %s"},
	"retention":      {"recordings go by themselves; a run that would take more than %s of a purpose waits for an officer", "Aufzeichnungen gehen von selbst; ein Lauf, der mehr als %s eines Zwecks löschte, wartet auf eine Freigabe"},
	"alarms":         {"alarms for what may be a breach (Art. 33): %s", "Alarme für mögliche Verletzungen (Art. 33): %s"},
	"logs":           {"no personal data in program logs and metrics; numbers in traces are pseudonyms", "keine personenbezogenen Daten in Programmprotokollen und Metriken; Nummern in Mitschnitten sind Pseudonyme"},
	"availability":   {"calls go on without recording where the gate is in trouble; recordings are synced every half second and closed after a crash (Art. 32(1)(b), (c))", "bei Störungen laufen Gespräche ohne Aufzeichnung weiter; Aufzeichnungen werden jede halbe Sekunde gesichert und nach einem Absturz abgeschlossen (Art. 32 Abs. 1 lit. b, c)"},
	"stated_measure": {"%s", "%s"},
}

// Text is a sentence of the record in a language of Languages; English otherwise.
func Text(lang, key string, details ...any) string {
	pair, ok := texts[key]
	if !ok { // a key that isn't there is a fault of ours; it is seen, and the rest stands
		return strings.TrimSpace(key + " " + fmt.Sprint(details...))
	}
	text := pair[0]
	if lang == "de" {
		text = pair[1]
	}
	if !strings.Contains(text, "%s") {
		return text
	}
	return fmt.Sprintf(text, details...)
}

// span writes a period in days where it is whole ones.
func span(lang string, d time.Duration) string {
	day, days := "day", "days"
	if lang == "de" {
		day, days = "Tag", "Tage"
	}
	switch n := int64(d / (24 * time.Hour)); {
	case d%(24*time.Hour) != 0:
		return d.String()
	case n == 1:
		return "1 " + day
	default:
		return fmt.Sprintf("%d %s", n, days)
	}
}
