package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"time"

	"go.yaml.in/yaml/v3"

	"consentgate/consent"
	"consentgate/proxy"
	"consentgate/proxy/locate"
	"consentgate/store"
	"consentgate/store/archive/s3"
	"consentgate/store/evidence"
	"consentgate/store/phone"
)

// maxConfig bounds a configuration file, in bytes.
const maxConfig = 1 << 20

// Config is a configuration file, parsed: what is left to check is only whether
// the machine can do it. config.example.yaml explains every key.
type Config struct {
	DataDir       string
	RootKey       string
	Erasure       store.Rotation
	Disk          store.DiskMarks
	Root          RootConfig
	Node          string
	Region        string // of numbers without their country's code, where a trunk has none of its own; "": unknown
	Controller    consent.Controller
	Stated        evidence.Setting // what documents say of the controller; setting has the rest of it
	Trunks        []TrunkConfig
	Media         MediaConfig
	TTS           string // command line that renders prompts; "" is none
	Purposes      map[string]consent.Purpose
	Policies      consent.Policies
	ShutdownGrace time.Duration
	DNSServers    []string // host:port; none: the system's
	Ops           string   // host:port
	Console       ConsoleConfig
	Log           LogConfig
	Trace         TraceConfig
	Audit         AuditConfig
	Archive       s3.Config
	Retention     RetentionConfig
	Alarms        AlarmsConfig
	Record        RecordConfig
	Hash          [sha256.Size]byte // of the file, for the audit log

	domains []peerDomain // the peers that DNS has to find
	tree    *yaml.Node   // as it stands in the file; nil where the configuration isn't of one
}

// TrunkConfig is a PBX and the carrier it has a trunk to.
type TrunkConfig struct {
	Name         string
	PBX, Carrier SideConfig
	OptionsPing  time.Duration
	FailOver     time.Duration
	MaxCalls     int           // at a time; 0: any number
	MaxCallRate  float64       // new ones a second; 0: any number
	MaxDuration  time.Duration // of a call; 0: any
	Quota        int64         // bytes of its recordings; 0: any
	Numbers      phone.Rules   // how its numbers are written
}

// SideConfig is how the gate talks to one of the two.
type SideConfig struct {
	Listen       []proxy.Listen
	TLS          *proxy.TLS // nil: none
	Peers        []locate.Peer
	AcceptFrom   []netip.Prefix // none: the peers' addresses
	Advertise    string
	NAT          bool // the peers are behind one
	MediaAddress netip.Addr
	SRTP         proxy.SRTP
}

// MediaConfig is what RTP may use.
type MediaConfig struct {
	MinPort, MaxPort uint16
	Codecs           string        // playable or any
	Timeout          time.Duration // a call without media for so long is ended; 0: never
}

// LogConfig says what is logged, and how.
type LogConfig struct {
	Level  slog.Level
	Format string
}

// TraceConfig says which SIP messages are kept and sent, always redacted.
type TraceConfig struct {
	Calls int            // the latest; 0: none
	HEP   netip.AddrPort // where to; invalid: nowhere
	HEPID uint32
}

// Default is what applies where the file says nothing.
func Default() Config {
	host, err := os.Hostname()
	if err != nil {
		host = "gate"
	}
	return Config{
		DataDir:       "./data",
		Erasure:       store.Rotation{Every: time.Hour},
		Disk:          store.DiskMarks{Low: store.Mark{Share: 0.05}, Stop: store.Mark{Share: 0.02}},
		Root:          defaultRoot(),
		Node:          host,
		Media:         MediaConfig{MinPort: 20000, MaxPort: 29999, Codecs: "playable"},
		TTS:           defaultTTS,
		Purposes:      map[string]consent.Purpose{},
		ShutdownGrace: 30 * time.Second,
		Ops:           "127.0.0.1:9090",
		Console:       defaultConsole(),
		Log:           LogConfig{Level: slog.LevelInfo, Format: "text"},
		Trace:         TraceConfig{HEPID: 2001},
		Audit:         AuditConfig{Every: store.DefaultWitnessEvery, Retention: 3 * 365 * 24 * time.Hour},
		Archive:       defaultArchive(),
		Retention:     defaultRetention(),
		Alarms:        defaultAlarms(),
	}
}

// defaultTTS is espeak-ng, which Debian has; without it the committed prompts
// can be played and others can't be made.
const defaultTTS = "espeak-ng -v {language} -s 150 -w {out} {text}"

func defaultPolicy() consent.Policy {
	return consent.Policy{Direction: consent.Any, Action: consent.Ask, Parties: []consent.Party{consent.Remote},
		When: "answer", Language: "en", Accept: '1', Decline: '2', Timeout: 8 * time.Second, Attempts: 2,
		OnRefusal: consent.Connect, Withdraw: "*9", OnWithdrawal: consent.Keep, Pause: "*7", Resume: "*8"}
}

// hash is the file's, in hex; "" where the configuration isn't of a file.
func (c *Config) hash() string {
	if c.Hash == ([sha256.Size]byte{}) {
		return ""
	}
	return hex.EncodeToString(c.Hash[:])
}

// LoadConfig reads a file and finds every problem with it. The Config may be
// used only if the problems are sound.
func LoadConfig(path string) (*Config, Problems) {
	f, err := os.Open(path)
	if err != nil {
		return nil, Problems{{File: path, Line: 1, Text: err.Error()}}
	}
	text, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, Problems{{File: path, Line: 1, Text: err.Error()}}
	}
	return ParseConfig(path, text)
}

// ParseConfig is LoadConfig of bytes; file is for the messages.
func ParseConfig(file string, text []byte) (*Config, Problems) {
	r := &reader{file: file}
	if len(text) > maxConfig {
		r.errorf(nil, "file", "is larger than %d bytes", maxConfig)
		return nil, r.problems
	}
	var doc yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(text))
	if err := dec.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("the file is empty")
		}
		r.problems = append(r.problems, Problem{file, yamlLine(err), false, err.Error()})
		return nil, r.problems
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		r.errorf(&doc, "file", "holds more than one YAML document")
	}
	c := Default()
	c.Hash, c.tree = sha256.Sum256(text), doc.Content[0]
	p := &parser{reader: r, config: &c}
	p.parse(doc.Content[0])
	if c.RootKey == "" {
		c.RootKey = store.DefaultRootFile(c.DataDir)
	}
	return &c, r.sorted()
}

// yamlLine finds the line in the YAML library's message.
func yamlLine(err error) int {
	line := 1
	if _, scanErr := fmt.Sscanf(err.Error(), "yaml: line %d:", &line); scanErr != nil {
		return 1
	}
	return line
}
