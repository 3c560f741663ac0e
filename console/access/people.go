package access

import "consentgate/console/access/passwords"

// people are the users that are in force. They never change: others come in their
// place.
type people struct {
	users   []User
	unknown []passwords.Hash // that those who have no password are compared with
}

func newPeople(users []User) *people {
	p := &people{users: users}
	for _, u := range users {
		if u.Password.Set() {
			p.unknown = append(p.unknown, u.Password.Nobodys())
		}
	}
	if p.unknown == nil {
		p.unknown = []passwords.Hash{passwords.Hash{}.Nobodys()}
	}
	return p
}

// named finds who has a name.
func (p *people) named(name string) (found User, ok bool) {
	for _, u := range p.users {
		if u.Name == name {
			found, ok = u, true
		}
	}
	return found, ok
}

// stand reports whether they let in who came in so, by a password or none.
func (p *people) stand(who Principal, password passwords.Hash) bool {
	u, known := p.named(who.Name)
	if who.Via == viaOIDC {
		return !known // entries in the audit log have one meaning
	}
	return known && u.Role == who.Role && u.Password.Equal(password)
}

// SetUsers puts others in the place of the users that there are. Tokens count by them
// from the next request on. Sessions end of who isn't a user any more, or has another
// role or password; and of people of the provider who have a user's name now. Answers
// under way are given to their end. It returns how many sessions it ended, and is safe
// for concurrent use.
func (g *Gatekeeper) SetUsers(users []User) (ended int) {
	p := newPeople(users)
	g.people.Store(p)
	g.tokens.forget(p)
	return g.sessions.review()
}
