package page

// stateWords are words for what the gate calls things: word looks them up.
var stateWords = map[string]phrase{
	"direction.inbound":  {"inbound", "eingehend"},
	"direction.outbound": {"outbound", "ausgehend"},
	"party.remote":       {"Caller's side", "Gegenseite"},
	"party.local":        {"Our side", "Unsere Seite"},

	"consent.granted":   {"Consented", "Eingewilligt"},
	"consent.declined":  {"Declined", "Abgelehnt"},
	"consent.silent":    {"No answer", "Keine Antwort"},
	"consent.wrong_key": {"Wrong key", "Falsche Taste"},
	"consent.hung_up":   {"Hung up", "Aufgelegt"},
	"consent.failed":    {"Not possible", "Nicht möglich"},
	"consent.bypassed":  {"Not asked", "Nicht gefragt"},
	"consent.withdrawn": {"Withdrawn", "Widerrufen"},
	"consent.asking":    {"Being asked", "Wird gefragt"},
	"consent.paused":    {"Paused", "Pausiert"},
	"consent.resumed":   {"Resumed", "Fortgesetzt"},
	"consent.none":      {"Not asked yet", "Noch nicht gefragt"},
	"consent.":          {"Not asked yet", "Noch nicht gefragt"},

	"recstate.recording": {"Recording", "Aufnahme läuft"},
	"recstate.paused":    {"Paused", "Pausiert"},
	"recstate.off":       {"Not recorded", "Keine Aufnahme"},
	"recstate.starting":  {"Starting", "Beginnt"},
	"recstate.":          {"Not recorded", "Keine Aufnahme"},

	"pausedby.remote":   {"by the caller's side", "von der Gegenseite"},
	"pausedby.local":    {"by our side", "von unserer Seite"},
	"pausedby.console":  {"from the console", "von der Konsole"},
	"pausedby.transfer": {"during a transfer", "während einer Weiterleitung"},

	"kept.recording": {"Being recorded", "Läuft noch"},
	"kept.sealed":    {"Complete", "Vollständig"},
	"kept.truncated": {"Cut short", "Abgebrochen"},

	"party.both":        {"Both sides", "Beide Seiten"},
	"cause.pause":       {"paused", "pausiert"},
	"cause.hold":        {"on hold: music isn't recorded", "gehalten: Wartemusik wird nicht aufgenommen"},
	"cause.loss":        {"lost in the network", "im Netz verloren"},
	"cause.no-audio":    {"no sound arrived", "es kam kein Ton an"},
	"cause.no-rtp":      {"sent no audio", "sandte kein Audio"},
	"cause.writer-drop": {"the gate was too busy", "das Gate war überlastet"},
	"cause.dtmf":        {"a key, not recorded", "eine Taste, nicht aufgenommen"},

	"ended.running":         {"it hasn't ended yet", "noch nicht beendet"},
	"ended.complete":        {"the call ended", "der Anruf endete"},
	"ended.withdrawn":       {"consent was withdrawn", "die Einwilligung wurde widerrufen"},
	"ended.party_changed":   {"somebody else came on the line", "jemand anders kam in die Leitung"},
	"ended.not_begun":       {"the call had moved on before it began", "der Anruf weiter war, ehe sie begann"},
	"ended.crashed":         {"the gate stopped", "das Gate ausfiel"},
	"ended.recorder_failed": {"recording failed", "das Aufnehmen scheiterte"},

	"apstate.pending":  {"Waits", "Wartet"},
	"apstate.approved": {"Approved", "Freigegeben"},
	"apstate.yours":    {"Approved: do it within the hour", "Freigegeben: binnen einer Stunde tun"},
	"apstate.done":     {"Done", "Erledigt"},
	"apstate.rejected": {"Refused", "Abgelehnt"},

	"kind.access":      {"Access", "Auskunft"},
	"kind.erasure":     {"Erasure", "Löschung"},
	"kind.restriction": {"Restriction", "Einschränkung"},
	"kind.portability": {"Portability", "Datenübertragung"},
	"kind.objection":   {"Objection", "Widerspruch"},

	"reqstate.received":         {"Received", "Eingegangen"},
	"reqstate.identity_pending": {"Proof asked for", "Nachweis erbeten"},
	"reqstate.identified":       {"Identity checked", "Identität geprüft"},
	"reqstate.in_progress":      {"In progress", "In Arbeit"},
	"reqstate.held":             {"Waits for a hold", "Wartet auf Sperre"},
	"reqstate.done":             {"Done", "Erledigt"},
	"reqstate.refused":          {"Refused", "Abgelehnt"},

	"ground.accuracy":  {"its accuracy is contested (a)", "die Richtigkeit wird bestritten (a)"},
	"ground.unlawful":  {"restricted instead of erased (b)", "Einschränkung statt Löschung (b)"},
	"ground.claims":    {"needed for the subject's legal claims (c)", "für Rechtsansprüche der Person (c)"},
	"ground.objection": {"an objection is being looked into (d)", "ein Widerspruch wird geprüft (d)"},

	"erasure.requested": {"Asked for", "Beantragt"},
	"erasure.logical":   {"The key is gone", "Schlüssel vernichtet"},
	"erasure.pending":   {"Erased, not yet final", "Gelöscht, noch nicht endgültig"},
	"erasure.shredded":  {"Final", "Endgültig"},

	"via.rfc4733": {"telephone-event", "Telefonie-Ereignis"},
	"via.info":    {"SIP INFO", "SIP INFO"},
	"via.inband":  {"tone", "Ton"},
}
