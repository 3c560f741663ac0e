#!/usr/bin/env python3
"""Checks an export of consentgate's audit log (docs/audit-format.md).

    verify_audit.py EXPORT [--vkey FILE] [--checkpoint FILE]... [--witness-key FILE]...

A second verifier, written from the format's description: it shares no code with
the gate and needs nothing but Python's standard library. It prints what it found
and ends with 0 if that is "ok", with 1 if something is wrong, with 2 if it was
called wrongly.

--vkey         the log's verifier key, as you have known it from before
--checkpoint   a checkpoint that you kept, or a witness's file: the log must continue it
--witness-key  a witness's verifier key: it must have cosigned what the log continues

A signature takes some milliseconds here: a witness's file of a year takes its time.
"""

import argparse
import base64
import binascii
import calendar
import hashlib
import json
import re
import sys
import time

# ---- Ed25519: RFC 8032 section 5.1, verification only

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
ROOT_OF_MINUS_1 = pow(2, (P - 1) // 4, P)
NEUTRAL = (0, 1, 1, 0)  # extended coordinates X, Y, Z, T: x = X/Z, y = Y/Z, xy = T/Z


def add(p, q):
    a = (p[1] - p[0]) * (q[1] - q[0]) % P
    b = (p[1] + p[0]) * (q[1] + q[0]) % P
    c = 2 * p[3] * q[3] * D % P
    d = 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(n, p):
    q = NEUTRAL
    while n:
        if n & 1:
            q = add(q, p)
        p = add(p, p)
        n >>= 1
    return q


def point(raw):
    """Decodes a point; None if there is none (section 5.1.3)."""
    y = int.from_bytes(raw, "little")
    sign, y = y >> 255, (y & (2**255 - 1)) % P
    xx = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(xx, (P + 3) // 8, P)
    if (x * x - xx) % P:
        x = x * ROOT_OF_MINUS_1 % P
    if (x * x - xx) % P:
        return None
    if x & 1 != sign:
        x = -x % P
    return x, y, 1, x * y % P


def encoded(p):
    inverse = pow(p[2], -1, P)
    x, y = p[0] * inverse % P, p[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


BASE = point((4 * pow(5, -1, P) % P).to_bytes(32, "little"))


def signed_by(key, message, signature):
    a = point(key)
    s = int.from_bytes(signature[32:], "little")
    if len(signature) != 64 or a is None or s >= ORDER:
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % ORDER
    minus_a = (-a[0] % P, a[1], 1, -a[3] % P)
    return encoded(add(times(s, BASE), times(k, minus_a))) == signature[:32]


# ---- Signed notes, checkpoints, cosignatures: C2SP


class Wrong(Exception):
    """There is nothing to check: this isn't what it should be."""


def strict_base64(text):
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Wrong("not base64")
    if base64.b64encode(raw).decode() != text:  # unused bits that aren't 0
        raise Wrong("not base64 as it is written")
    return raw


class Key:
    """A verifier key: NAME+HASH+KEY. kind 1 signs notes, kind 4 cosigns with a time."""

    def __init__(self, text, kind):
        try:
            self.name, digest, key = text.strip().split("+", 2)
            raw = strict_base64(key)
        except (ValueError, Wrong):
            raise Wrong("it isn't a verifier key")
        self.id = hashlib.sha256(self.name.encode() + b"\n" + raw).digest()[:4]
        if len(raw) != 33 or raw[0] != kind or self.id.hex() != digest or not self.name:
            raise Wrong("it isn't a verifier key of this kind")
        self.kind, self.key = kind, raw[1:]

    def verifies(self, text, signature):
        if self.kind == 1:
            return signed_by(self.key, text, signature)
        if len(signature) != 72 or signature[0] >> 7:
            return False
        at = int.from_bytes(signature[:8], "big")
        return signed_by(self.key, b"cosignature/v1\ntime %d\n" % at + text, signature[8:])


def open_note(note, key):
    """Gives a note's text and the key's signature on it; all signatures are read strictly."""
    if isinstance(note, str):
        note = note.encode()
    if any(c < 0x20 and c != 0x0A for c in note):
        raise Wrong("it isn't a note")
    try:
        note.decode("utf-8")
    except UnicodeDecodeError:
        raise Wrong("it isn't a note")
    at = note.rfind(b"\n\n")
    text, lines = note[: at + 1], note[at + 2 :].decode()
    if at < 0 or not lines.endswith("\n"):
        raise Wrong("the note isn't signed")
    found = None
    for line in lines[:-1].split("\n"):
        match = re.fullmatch("\u2014 ([^ +]+) ([A-Za-z0-9+/=]+)", line)
        raw = strict_base64(match[2]) if match else b""
        if len(raw) < 5:
            raise Wrong("a signature can't be read")
        if match[1] != key.name or raw[:4] != key.id or found:
            continue
        if not key.verifies(text, raw[4:]):
            raise Wrong("a signature isn't its key's")
        found = raw[4:]
    if not found:
        raise Wrong("the key's signature is missing")
    return text.decode(), found


class Checkpoint:
    def __init__(self, note, key):
        self.note = note
        lines = open_note(note, key)[0].split("\n")
        if len(lines) < 4 or lines[0] != key.name or not re.fullmatch("0|[1-9][0-9]{0,18}", lines[1]):
            raise Wrong("not a checkpoint")
        self.size, self.root = int(lines[1]), strict_base64(lines[2])
        if len(self.root) != 32:
            raise Wrong("not a checkpoint")

    def said(self):
        return "%d %s" % (self.size, base64.b64encode(self.root).decode())


def kept(raw, key):
    """What somebody kept: one checkpoint, or the lines of a witness's file."""
    if not raw.lstrip(b"\n").startswith(b"{"):
        return [Checkpoint(raw, key)]
    out = []
    for line in raw.split(b"\n"):
        try:
            note = json.loads(line)["checkpoint"]
        except (ValueError, KeyError, TypeError):
            continue  # a full disk cut it off
        out.append(Checkpoint(note, key))
    if not out:
        raise Wrong("there is no checkpoint in it")
    return out


# ---- The tree: RFC 6962 section 2.1


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


class Tree:
    def __init__(self):
        self.size, self.roots = 0, []

    def add(self, leaf):
        h, n = sha256(b"\0", leaf), self.size
        while n & 1:
            h = sha256(b"\1", self.roots.pop(), h)
            n >>= 1
        self.roots.append(h)
        self.size += 1

    def root(self):
        if not self.roots:
            return sha256()
        h = self.roots[-1]
        for left in reversed(self.roots[:-1]):
            h = sha256(b"\1", left, h)
        return h


# ---- Entries

LEAF = re.compile(r"consentgate-audit-1 (0|[1-9][0-9]{0,18}) (0|-?[1-9][0-9]{0,15}) ([^ \n]*) ([0-9a-f]{64})(?: ([0-9a-f]{32}))?\n")
TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,9})?Z")
SLACK = 3000  # ms that a time may run back unremarked


def mark_of(grant):
    return sha256(b"consentgate/1/audit-scope\0", grant)[:16].hex()


MARKS_KEPT = mark_of(bytes(32))  # on the first leaf of a log that has had marks from its beginning


class Leaf:
    def __init__(self, text):
        match = LEAF.fullmatch(text)
        if not match or len(text.encode()) > 256 or match[5] == "0" * 32:
            raise Wrong("not a leaf")
        self.seq, self.ms, self.type = int(match[1]), int(match[2]), match[3]
        self.commitment, self.mark = match[4], match[5]
        self.of_grant = self.mark is not None and self.mark != MARKS_KEPT and self.type != "payloads.erased"


def milliseconds(text):
    match = TIME.fullmatch(text)
    if not match:
        raise Wrong("not a time")
    try:
        seconds = calendar.timegm(time.strptime(match[1], "%Y-%m-%dT%H:%M:%S"))
    except ValueError:
        raise Wrong("not a time")
    nanoseconds = int(((match[2] or ".")[1:] + "000000000")[:9])
    if nanoseconds % 1000000:
        raise Wrong("not a time of a leaf")
    return seconds * 1000 + nanoseconds // 1000000


class Scope:
    """What the log has of one grant."""

    def __init__(self):
        self.entries, self.due, self.erased, self.gone, self.recording = [], [], -1, False, None


class Checker:
    def __init__(self, key, checkpoint, older):
        self.now = Checkpoint(checkpoint, key)
        self.key, self.tree = key, Tree()
        self.older = sorted({(c.size, c.root): c for c in older}.values(), key=lambda c: (c.size, c.root))
        self.notes = [c.note for c in older] + [checkpoint]
        self.findings = []
        self.opened = self.lost = self.erased = self.sealed = 0
        self.open = {}  # grants without an end
        self.scopes, self.bare, self.told, self.marked = {}, [], set(), -1
        self.before, self.by, self.first = 0, -1, -1  # of payloads.erased
        self.last = None
        self.back, self.first_back, self.pending, self.unexplained = 0, -1, 0, 0
        self.continues = None
        if self.older:
            last = self.older[-1]
            self.continues = last.said()
            if len(self.older) > 1:
                self.continues += " and %d before" % (len(self.older) - 1)
            if last.size > self.now.size:
                self.bad(self.now.size, "the checkpoint given has %d entries, the log only %d: entries were removed" % (last.size, self.now.size))
        self.compare()

    def bad(self, seq, what):
        self.findings.append((seq, len(self.findings), what))

    def compare(self):
        while self.older and self.older[0].size <= self.tree.size:
            if self.tree.root() != self.older[0].root:
                self.bad(max(self.tree.size - 1, 0), "the log's beginning isn't the one of the checkpoint given: "
                         "an entry up to here was changed, removed or moved")
            self.older.pop(0)

    def entry(self, e):
        want, leaf, wrong = self.tree.size, None, None
        salt, payload = e.get("salt"), e.get("payload")
        try:
            leaf = Leaf(e["leaf"])
            if leaf.seq != e["seq"] or leaf.type != e["type"] or leaf.ms != e["at"]:
                wrong = "the entry's fields don't agree with its leaf"
        except Wrong:
            pass
        if (salt is None) != (payload is None):
            wrong = "salt and payload belong together: one is missing"
        there = salt is not None
        if leaf is None:
            self.bad(want, "the leaf can't be read")
        elif leaf.seq != want:
            self.bad(want, "entry %d stands where %d should" % (leaf.seq, want))
        elif wrong:
            self.bad(want, wrong)
        elif there and sha256(salt, payload).hex() != leaf.commitment:
            self.bad(want, "the payload isn't the one that was logged")
        self.opened += there
        if leaf is not None and leaf.seq == want:
            self.clock(leaf)
            if leaf.type == "payloads.erased":
                self.check_before(leaf)
            self.note(leaf, there)
            if there and payload is not None:
                self.account(leaf, payload)
        self.tree.add(e["leaf"].encode())
        self.compare()

    def clock(self, leaf):
        if self.last is not None and self.last - leaf.ms > SLACK:
            self.back += 1
            if self.back == 1:
                self.first_back = leaf.seq
            self.pending += 1
        self.last = leaf.ms
        if leaf.type == "clock.jumped":  # the first after a jump speaks of it
            self.unexplained += max(self.pending - 1, 0)
            self.pending = 0

    def note(self, leaf, there):
        """Keeps who goes with which grant, and whether it is there."""
        self.lost += not there
        if self.marked < 0 and leaf.mark is not None and leaf.type != "payloads.erased":
            self.marked = leaf.seq
        if not leaf.of_grant or leaf.type == "recording.erased":
            if not there:
                self.bare.append(leaf.seq)
            elif self.first < 0 <= self.marked:
                self.first = leaf.seq
        if not leaf.of_grant:
            return
        s = self.scopes.setdefault(leaf.mark, Scope())
        if leaf.type == "recording.erased":
            s.due = [seq for seq, _ in s.entries if seq > s.erased]
            s.erased = leaf.seq
            return
        s.gone |= not there
        s.entries.append((leaf.seq, there))

    def check_before(self, leaf):
        """payloads.erased says in its mark up to where payloads went that go with no grant."""
        match = re.fullmatch("0{16}([0-9a-f]{16})", leaf.mark or "")
        before = int(match[1], 16) if match else 0
        if not self.before < before <= leaf.seq:
            self.bad(leaf.seq, "it doesn't say up to where payloads were erased")
            return
        self.before, self.by = before, leaf.seq

    def account(self, leaf, payload):
        """Each grant is opened once and ends once; each mark is its grant's."""
        counts = leaf.type in ("consent", "recording.sealed", "recording.failed")
        if not counts and not leaf.of_grant:
            return
        try:
            said = json.loads(payload)
            kind, listed = said.get("kind"), said.get("payloads") or []
            grant = bytes.fromhex(said["grant"]) if said.get("grant") is not None else None
            if grant is not None and len(grant) != 32 or any(type(n) is not int for n in listed):
                raise ValueError
        except (ValueError, TypeError, AttributeError):
            self.bad(leaf.seq, "the payload can't be read")
            return
        granted = leaf.type == "consent" and kind == "granted"
        if granted:
            grant = sha256(payload)
        if leaf.of_grant:
            self.check_mark(leaf, grant, said.get("recording"), listed)
        if granted:
            self.open[grant] = leaf.seq
        elif not counts or grant is None or leaf.type == "consent" and kind != "failed":
            pass
        elif leaf.type != "consent" and grant not in self.open and not self.misses(grant):
            self.bad(leaf.seq, "a recording ends whose consent isn't in the log, or ended before")
        else:
            self.open.pop(grant, None)

    def misses(self, grant):
        s = self.scopes.get(mark_of(grant))
        return s is not None and s.gone

    def check_mark(self, leaf, grant, recording, listed):
        s = self.scopes[leaf.mark]
        if leaf.type == "recording.started" and recording:
            s.recording = recording
        if grant is None and (not recording or recording != s.recording) or grant is not None and mark_of(grant) != leaf.mark:
            self.bad(leaf.seq, "the entry bears the mark of a grant that it isn't of")
            return
        if leaf.type != "recording.erased":
            return
        self.told.update(seq for seq in listed if seq < self.marked)
        if [seq for seq in listed if seq >= self.marked] != s.due:
            self.bad(leaf.seq, "the erasure doesn't list the entries of its grant, or lists others")

    def settle(self):
        if not self.opened:  # an export without the root key
            self.sealed = self.lost
            return
        for seq in self.bare:
            if seq in self.told or seq < self.before:
                self.erased += 1
            else:
                self.bad(seq, "the payload is missing, and no erasure of it is logged")
        if 0 <= self.first < self.before:
            self.bad(self.first, "the payload is still there, and entry %d says that it was erased" % self.by)
        for s in self.scopes.values():
            for seq, there in s.entries:
                if there and seq < s.erased:
                    self.bad(seq, "the payload is still there, and entry %d says that it was erased" % s.erased)
                elif not there and seq > s.erased:
                    self.bad(seq, "the payload is missing, and no erasure of it is logged")
                elif not there:
                    self.erased += 1

    def cosigned(self, witness):
        best = None
        for note in self.notes:
            try:
                signature = open_note(note, witness)[1]
                size = Checkpoint(note, self.key).size
            except Wrong:
                continue
            if best is None or size > best[0]:
                best = size, int.from_bytes(signature[:8], "big")
        if best is None:
            self.bad(self.now.size, "no checkpoint is cosigned by %s" % witness.name)
            return None
        return "cosigned by %s at %d entries, %s" % (witness.name, best[0], time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(best[1])))

    def report(self, witnesses):
        lines = ["log " + self.key.name, "size %d" % self.now.size, "root " + base64.b64encode(self.now.root).decode()]
        if self.continues:
            lines.append("continues " + self.continues)
        lines += [line for line in map(self.cosigned, witnesses) if line]
        if self.tree.size != self.now.size:
            self.bad(self.tree.size, "%d entries are there, the checkpoint says %d" % (self.tree.size, self.now.size))
        elif self.tree.root() != self.now.root:
            self.bad(max(self.now.size - 1, 0), "the entries don't hash to the signed root: one of them was changed or moved")
        self.settle()
        if self.erased:
            lines.append("%d payloads are erased, as the log says" % self.erased)
        if self.before:
            lines.append("what goes with no recording is erased up to entry %d" % (self.before - 1))
        if self.sealed:
            lines.append("%d payloads stay sealed: the root key isn't here" % self.sealed)
        if self.back:
            lines.append("the clock was put back %d times, first at entry %d; the log explains all but %d"
                         % (self.back, self.first_back, self.unexplained + self.pending))
        if self.findings:
            seq, _, what = min(self.findings)
            return lines + ["bad: entry %d: %s" % (seq, what)], 1
        return lines + ["ok"], 0


# ---- The export's lines


def strictly(pairs):
    out = dict(pairs)
    if len(out) != len(pairs):
        raise Wrong("a field is there twice")
    return out


def fields(line, required, optional):
    try:
        out = json.loads(line, object_pairs_hook=strictly)
    except ValueError:
        raise Wrong("not JSON")
    if type(out) is not dict or not required <= out.keys() <= required | optional:
        raise Wrong("other fields than there should be")
    return out


def read_entry(line):
    e = fields(line, {"seq", "at", "type", "leaf"}, {"salt", "payload"})
    if type(e["seq"]) is not int or not all(type(e[k]) is str for k in e if k != "seq"):
        raise Wrong("a field is of another kind")
    e["at"] = milliseconds(e["at"])
    for k in ("salt", "payload"):
        if k in e:
            e[k] = strict_base64(e[k])
    return e


MOST = 1 << 20  # bytes a line


def check(export, vkey, checkpoints, witnesses):
    head = export.readline(MOST + 1)
    header = fields(head, {"format", "vkey", "checkpoint"}, {"witnessed"})
    if header["format"] != "consentgate-audit-export-1":
        raise Wrong("it isn't an export")
    if vkey is not None and vkey.strip() != header["vkey"].strip():
        raise Wrong("it is another log: its verifier key isn't the one given")
    key = Key(header["vkey"], 1)
    older = [c for raw in checkpoints for c in kept(raw, key)]
    older += [Checkpoint(note, key) for note in header.get("witnessed", [])]
    checker = Checker(key, header["checkpoint"], older)
    for number, line in enumerate(iter(lambda: export.readline(MOST + 1), b""), 2):
        try:
            if len(line) > MOST:
                raise Wrong("it is too long")
            checker.entry(read_entry(line))
        except Wrong as why:
            raise Wrong("line %d isn't an entry: %s" % (number, why))
    return checker.report(witnesses)


def read(name):
    with open(name, "rb") as f:
        return f.read()


def main():
    p = argparse.ArgumentParser(description="Checks an export of consentgate's audit log.")
    p.add_argument("export")
    p.add_argument("--vkey")
    p.add_argument("--checkpoint", action="append", default=[])
    p.add_argument("--witness-key", action="append", default=[])
    a = p.parse_args()
    try:
        witnesses = [Key(read(name).decode(), 4) for name in a.witness_key]
        vkey = read(a.vkey).decode() if a.vkey else None
        with open(a.export, "rb") as export:
            lines, code = check(export, vkey, [read(name) for name in a.checkpoint], witnesses)
    except (Wrong, OSError, UnicodeDecodeError) as why:
        print("verify_audit.py: %s" % why, file=sys.stderr)
        return 1
    print("\n".join(lines))
    return code


if __name__ == "__main__":
    sys.exit(main())
