package scenario

import (
	"fmt"
	"regexp"
	"strings"
)

// Script is a scenario that was read and found to be made of known words.
type Script struct {
	name  string
	lines []line
}

type line struct {
	number int
	text   string
	verb   *verb
	words  []string // what the verb's pattern took apart
}

// phase is when a line may stand: what the gate is set up with, then the call,
// then what it left behind.
type phase int

const (
	setting phase = iota
	step
	proof
)

func (p phase) String() string { return [...]string{"a setting", "a step", "a proof"}[p] }

// verb is one thing that a scenario can say.
type verb struct {
	phase   phase
	pattern *regexp.Regexp
	do      func(p *player, words []string) error
}

func word(ph phase, pattern string, do func(p *player, words []string) error) verb {
	return verb{ph, regexp.MustCompile("^" + pattern + "$"), do}
}

// verbs are all that a scenario can say; anything else is an error.
var verbs = []verb{
	word(setting, `policy: (.+)`, (*player).policy),
	word(setting, `config: (.+)`, (*player).config),
	word(setting, `prompt: (\S+)`, (*player).prompt),
	word(setting, `ports: (\d+)`, (*player).ports),
	word(setting, `codecs: (any|playable)`, (*player).codecs),
	word(setting, `quota: (\S+)`, (*player).quota),
	word(setting, `small disk`, (*player).smallDisk),
	word(setting, `media may go directly`, (*player).mayGoDirectly),
	word(setting, `a section is refused`, (*player).sectionRefused),
	word(setting, `the gate answers the caller`, (*player).answersTheCaller),
	word(setting, `the gate tells (carrier|pbx) of recording`, (*player).tellsOfRecording),

	word(step, `(\w+)> ([A-Z]+)((?: (?:to )?[a-z0-9+][\w:+.]*)??)((?: sdp(?:=\w+)?)?)((?: \| .+)?)`, (*player).sayRequest),
	word(step, `(\w+)> (\d{3}) ([A-Z]+)((?: "[^"]+")?)((?: sdp(?:=\w+)?)?)((?: \| .+)?)`, (*player).sayResponse),
	word(step, `(\w+)> again (\d{3} [A-Z]+|[A-Z]+)`, (*player).sayAgain),
	word(step, `(\w+)> rubbish "([^"]*)"`, (*player).sayRubbish),
	word(step, `(\w+)< (\d{3} [A-Z]+|[A-Z]+)((?: \| .+)?)`, (*player).expect),
	word(step, `(\w+) at last< (\d{3} [A-Z]+|[A-Z]+)((?: \| .+)?)`, (*player).expectLate),
	word(step, `(\w+) got (\d{3} [A-Z]+|[A-Z]+) again`, (*player).again),
	word(step, `(\w+) gets nothing more`, (*player).nothingMore),
	word(step, `(\w+) says (\d+|nothing)`, (*player).says),
	word(step, `(\w+) presses (\S+)((?: for \S+)?)((?: without end)?)`, (*player).presses),
	word(step, `(\w+) plays keys (\S+)((?: for \S+)?)`, (*player).plays),
	word(step, `(\w+) hears (prompt|notice|\d+|silence)`, (*player).hears),
	word(step, `(\w+) never heard (prompt|\d+)`, (*player).neverHeard),
	word(step, `(\w+) heard (no keys|keys \S+)((?: as \d+)?)`, (*player).heardKeys),
	word(step, `(\w+) heard (no tones|tones) of keys`, (*player).heardTones),
	word(step, `(\w+) heard no break`, (*player).noBreak),
	word(step, `(\w+) sends data (\w+)((?: to (?:carrier|pbx))?)`, (*player).sendData),
	word(step, `(\w+) gets data (\w+)((?: from (?:carrier|pbx))?)`, (*player).getData),
	word(step, `(\w+) never got data (\w+)`, (*player).neverGotData),
	word(step, `(\w+) sends RTP to (carrier|pbx)`, (*player).strayRTP),
	word(step, `disk (full|free|hangs|answers|dies)`, (*player).disk),
	word(step, `wait recording`, func(p *player, _ []string) error { return p.metric([]string{"recordings_active", "1"}) }),
	word(step, `wait recorded`, (*player).waitRecorded),
	word(step, `metric (\S+) (\S+)`, (*player).metric),

	word(proof, `log: ?(.*)`, (*player).log),
	word(proof, `recorded: (\d+)((?: of \d+ ms and more)?)`, (*player).recorded),
	word(proof, `sealed: (.+)`, (*player).sealed),
	word(proof, `recording has (\d+) on the (left|right)`, (*player).recordingHas),
	word(proof, `recording has no (\d+)`, (*player).recordingLacks),
	word(proof, `recording has no tones of keys`, (*player).recordingLacksKeys),
	word(proof, `answered by (.+)`, (*player).answeredBy),
}

// Parse reads a scenario. name stands in its errors, as the file's. A line that
// isn't known, or stands where it can't, is an error.
func Parse(name, text string) (*Script, error) {
	s := &Script{name: name}
	now := setting
	for i, l := range strings.Split(text, "\n") {
		if l = strings.TrimSpace(l); l == "" || strings.HasPrefix(l, "#") {
			continue
		}
		v, words := find(l)
		if v == nil {
			return nil, fmt.Errorf("%s:%d: %q is nothing that a scenario can say", name, i+1, l)
		}
		if v.phase < now {
			return nil, fmt.Errorf("%s:%d: %q is %s, and stands behind %s", name, i+1, l, v.phase, now)
		}
		now = v.phase
		s.lines = append(s.lines, line{i + 1, l, v, words})
	}
	if now != proof {
		return nil, fmt.Errorf("%s: it proves nothing: it must end with 'log:' at least", name)
	}
	return s, nil
}

func find(text string) (*verb, []string) {
	for i := range verbs {
		if words := verbs[i].pattern.FindStringSubmatch(text); words != nil {
			return &verbs[i], words[1:]
		}
	}
	return nil, nil
}
