package page

import (
	"encoding/json"
	"time"

	"consentgate/console/access"
	"consentgate/store"
)

// Levels of how a part is, from good to bad.
const (
	levelOff  = "off"
	levelOK   = "ok"
	levelWarn = "warn"
	levelBad  = "bad"
)

func getSystem(v *visit) error {
	s, err := v.o.System()
	if err != nil {
		v.c.Log.Error("the state of the gate can't all be told", "error", err)
	}
	b := systemBody{Node: s.Node, Started: s.Started, Worst: levelOK, Calls: s.Calls, Checks: v.checks(s.Store), Confirms: access.May("POST /system/retention", v.who.Role)}
	if s.Store != nil {
		b.Braked = s.Store.Braked != nil
		if b.Counts, err = v.counts(); err != nil {
			return err
		}
	}
	if b.Watches = access.May("GET /audit", v.who.Role); b.Watches && s.Store != nil {
		if b.Alarms, err = v.alarms(); err != nil {
			return err
		}
	}
	for _, c := range b.Checks {
		if c.Level == levelBad || c.Level == levelWarn && b.Worst != levelBad {
			b.Worst = c.Level
		}
	}
	return v.show("system", "system", v.t("system.title"), b)
}

// checks is how each part of the store is; h is nil where it isn't open.
func (v *visit) checks(h *store.Health) []check {
	if h == nil {
		return []check{{"store", levelBad, v.t("health.closed")}}
	}
	out := []check{{"store", levelOK, v.t("health.open")}, v.disk(h), {"root", levelOK, v.t("health.root", h.RootEpoch)}, {"log", levelOK, v.t("health.size", h.Entries)}}
	if h.Ready != nil {
		out[0] = check{"store", levelBad, v.t("health.notready", h.Ready.Error())}
	}
	if h.Unaccounted > 0 {
		out = append(out, check{"consents", levelBad, v.t("health.unaccounted", h.Unaccounted)})
	}
	out = append(out, v.witnesses(h))
	if h.Braked != nil {
		out = append(out, check{"retention", levelBad, v.t("health.braked", h.Braked.Why)})
	} else {
		out = append(out, check{"retention", levelOK, v.t("health.goes")})
	}
	erasures := check{"erasure", levelOK, v.t("health.erased")}
	if h.Erasures > 0 {
		erasures = check{"erasure", levelOK, v.t("health.erasures", h.Erasures, length(h.Oldest))}
	}
	sealing := check{"sealing", levelOK, v.t("health.sealed", h.Recording)}
	if h.Unsealed > 0 {
		sealing.Detail = v.t("health.unsealed", h.Recording, h.Unsealed)
	}
	return append(out, erasures, sealing)
}

func (v *visit) disk(h *store.Health) check {
	level, ok := map[string]string{"ok": levelOK, "low": levelWarn}[h.Disk]
	if !ok {
		level = levelBad
	}
	return check{"disk", level, v.t("health.free", bytesText(h.Free), bytesText(h.Size))}
}

// witnessPatience is how long a witness may be without the newest entries. It gets them
// at intervals, so that it is a few behind most of the time. The alert waits as long.
const witnessPatience = 15 * time.Minute

func (v *visit) witnesses(h *store.Health) check {
	if len(h.Witnesses) == 0 {
		return check{"witness", levelOff, v.t("health.nowitness")}
	}
	out := check{"witness", levelOK, ""}
	for _, w := range h.Witnesses {
		if w.Conflict {
			return check{"witness", levelBad, v.t("health.conflict", w.Name)}
		}
		if time.Since(w.Current) > witnessPatience {
			out.Level = levelWarn
		}
		if out.Detail != "" {
			out.Detail += ", "
		}
		out.Detail += v.t("health.witnessed", w.Name, w.Size)
	}
	return out
}

const (
	alarmsMost = 10
	alarmsAge  = 30 * 24 * time.Hour
)

// alarms are the latest, for who may read the log that they are in: they name users,
// and must not warn the one whom they are about.
func (v *visit) alarms() (out []alarm, err error) {
	entries, _, err := v.o.AuditLatest(v.r.Context(), v.who, -1, alarmsMost, store.TypeAlarm)
	for _, e := range entries {
		var a store.AlarmRaised
		if e.Payload == nil || json.Unmarshal(e.Payload, &a) != nil || time.Since(e.At) > alarmsAge {
			continue
		}
		out = append(out, alarm{e.At, a.Rule, a.By, a.Entry})
	}
	return out, err
}

func (v *visit) counts() (out []countRow, err error) {
	counts, err := v.o.Counts()
	for _, c := range counts {
		if c.N > 0 {
			out = append(out, countRow{c.Purpose, c.State, c.N})
		}
	}
	return out, err
}

// postRetention is an officer's word that what a run was stopped over may go.
func postRetention(v *visit) error {
	if err := v.o.ConfirmRetention(v.r.Context(), v.who, v.form("reason")); err != nil {
		return err
	}
	return v.done("/system", "system.retention.done")
}
