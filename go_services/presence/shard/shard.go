// Package shard is the core of a presence shard: who is online, on which devices, in which room, and who wants to hear
// of it. It has no clock, no goroutine and no I/O.
//
// Sessions belong to gateways, and so do leases: a gateway's stream is its lease. When the stream ends, the gateway has
// a while to come back with a snapshot; if it does not, all its sessions are gone. So the cost of presence grows with
// gateways and changes, not with users and heartbeats.
//
// A shard that begins knows nobody. Until gateways have had the time to tell it who is online, a user that nobody
// named is neither online nor offline, but unknown: so nobody seems to leave and come back when a shard is lost.
package shard

import (
	"math"
	"time"
)

// Device is one session of a user.
type Device struct {
	// SessionID is the gateway's id of the session.
	SessionID string
	Name      string
	RoomID    string
}

// Change is what became of one session.
type Change struct {
	UserID string
	Device Device
	Gone   bool
}

// Presence is a user as others see it.
type Presence struct {
	UserID  string
	Devices []Device
	// Since is when the user came online, to the millisecond; zero if not online.
	Since time.Time
	// Unknown says that the shard has begun a short while ago and nobody has named the user yet.
	Unknown bool
}

// Online says whether the user has a session anywhere.
func (p Presence) Online() bool { return len(p.Devices) > 0 }

// Config holds a shard's times.
type Config struct {
	// Lease is how long the sessions of a gateway stay after its stream has ended.
	Lease time.Duration
	// Settle is how long gateways have to tell a shard that begins who is online.
	Settle time.Duration
}

// Counts grow for as long as the shard lives.
type Counts struct {
	// Changes of users' presence.
	Changes uint64
	// Merged is how often a change took the place of one that a watch had not taken yet.
	Merged uint64
}

// Plus is the sum of two.
func (c Counts) Plus(other Counts) Counts {
	return Counts{Changes: c.Changes + other.Changes, Merged: c.Merged + other.Merged}
}

// gateway is one life of a gateway, from its start to its end.
type gateway struct {
	name, incarnation string
	stream            uint64
	sessions          int
	round             uint16    // grows with each stream
	named             int       // sessions that were named in this round
	lostAt            time.Time // zero while its stream is open
}

// Shard is one presence shard. Its methods must not be called at the same time.
type Shard struct {
	cfg     Config
	began   time.Time
	settled bool

	records    *records
	sessions   int
	userIDs    ids
	sessionIDs ids
	rooms      *names
	devices    *names

	gateways     []gateway // by number; 0 is none
	freeGateways []uint16
	byName       map[string]uint16
	sweeps       []sweep

	watched map[id][]watching
	watches map[*Watch]struct{}
	counts  Counts
}

// New makes a shard that begins now.
func New(now time.Time, cfg Config) *Shard {
	return &Shard{
		cfg: cfg, began: now, records: newRecords(),
		userIDs: newIDs("usr_"), sessionIDs: newIDs("gws_"), rooms: newNames(), devices: newNames(),
		gateways: make([]gateway, 1), byName: map[string]uint16{},
		watched: map[id][]watching{}, watches: map[*Watch]struct{}{},
	}
}

// Users is how many users are online.
func (s *Shard) Users() int { return s.records.users }

// Sessions is how many sessions there are.
func (s *Shard) Sessions() int { return s.sessions }

// Counts is what was counted until now.
func (s *Shard) Counts() Counts { return s.counts }

// Attach begins a gateway's stream. Another incarnation of the gateway is over: its sessions stay for the time of the lease, as
// if no other had begun, for whoever had them has about as long to come back. False if there are more gateways than a shard can
// have.
func (s *Shard) Attach(now time.Time, name, incarnation string, stream uint64) bool {
	number, ok := s.byName[name]
	if ok && s.gateways[number].incarnation != incarnation {
		if before := &s.gateways[number]; before.lostAt.IsZero() {
			before.lostAt = now
		}
		ok = false
	}
	if !ok {
		if number, ok = s.newGateway(); !ok {
			return false
		}
		s.gateways[number] = gateway{name: name, incarnation: incarnation}
		s.byName[name] = number
	}
	g := &s.gateways[number]
	g.stream, g.lostAt, g.named = stream, time.Time{}, 0
	g.round++
	return true
}

func (s *Shard) newGateway() (number uint16, ok bool) {
	if last := len(s.freeGateways) - 1; last >= 0 {
		number, s.freeGateways = s.freeGateways[last], s.freeGateways[:last]
		return number, true
	}
	if len(s.gateways) > math.MaxUint16 {
		return 0, false
	}
	s.gateways = append(s.gateways, gateway{})
	return uint16(len(s.gateways) - 1), true
}

// Apply takes what a gateway says of its sessions: all that it has at the beginning of a stream, then changes. Nothing
// happens to those that are as they were.
func (s *Shard) Apply(now time.Time, name string, stream uint64, changes []Change) {
	number := s.current(name, stream)
	if number == 0 {
		return
	}
	for i := range changes {
		if changes[i].Gone {
			s.unset(number, &changes[i])
		} else {
			s.set(now, number, &changes[i])
		}
	}
}

// Has says whether a stream is its gateway's newest. What any other says has no effect.
func (s *Shard) Has(name string, stream uint64) bool { return s.current(name, stream) != 0 }

// Complete ends what a gateway says at the beginning of its stream: sessions that it has not named are gone. Sweep
// removes them.
func (s *Shard) Complete(name string, stream uint64) {
	if number := s.current(name, stream); number != 0 {
		s.sweeps = append(s.sweeps, sweep{gateway: number, round: s.gateways[number].round, at: 1})
	}
}

// Detach ends a gateway's stream; its sessions stay for the time of the lease. An older stream ends without effect.
func (s *Shard) Detach(now time.Time, name string, stream uint64) {
	if number := s.current(name, stream); number != 0 {
		s.gateways[number].lostAt = now
	}
}

// Expire ends the leases of gateways that did not come back in time; Sweep removes their sessions. Call it about once a
// second.
func (s *Shard) Expire(now time.Time) {
	for number := range s.gateways {
		if lost := s.gateways[number].lostAt; !lost.IsZero() && now.Sub(lost) >= s.cfg.Lease {
			s.retire(uint16(number))
		}
	}
	if !s.settled && now.Sub(s.began) >= s.cfg.Settle {
		s.settled = true
		for w := range s.watches {
			w.stir()
		}
	}
}

// retire ends a gateway's life.
func (s *Shard) retire(number uint16) {
	g := &s.gateways[number]
	if g.lostAt = (time.Time{}); s.byName[g.name] == number { // else it has been started anew
		delete(s.byName, g.name)
	}
	s.sweeps = append(s.sweeps, sweep{gateway: number, dead: true, at: 1})
}

// Get is the presence of a user.
func (s *Shard) Get(userID string) Presence {
	if user, ok := s.userIDs.find(userID); ok {
		return s.presence(user)
	}
	return Presence{UserID: userID, Unknown: !s.settled}
}

func (s *Shard) presence(user id) Presence {
	p := Presence{UserID: s.userIDs.text(user)}
	for number := s.records.first(user); number != 0; {
		r := s.records.at(number)
		p.Since = time.UnixMilli(r.since)
		p.Devices = append(p.Devices, Device{
			SessionID: s.sessionIDs.text(r.session), Name: s.devices.text(r.device), RoomID: s.rooms.text(r.room),
		})
		number = r.next
	}
	p.Unknown = !p.Online() && !s.settled
	return p
}

// current is the gateway if the stream is its newest, or 0.
func (s *Shard) current(name string, stream uint64) uint16 {
	if number := s.byName[name]; number != 0 && s.gateways[number].stream == stream {
		return number
	}
	return 0
}

// find looks for a session of a user: its record and the one before it, or 0 and the user's last.
func (s *Shard) find(user, session id) (number, before uint32) {
	for number = s.records.first(user); number != 0; number = s.records.at(number).next {
		if s.records.at(number).session == session {
			return number, before
		}
		before = number
	}
	return 0, before
}

// set makes a session be as a gateway says. One that another gateway had said belongs to this one now.
func (s *Shard) set(now time.Time, number uint16, c *Change) {
	user, session := s.userIDs.hold(c.UserID), s.sessionIDs.hold(c.Device.SessionID)
	at, before := s.find(user, session)
	if at != 0 {
		s.userIDs.release(user) // the record holds them
		s.sessionIDs.release(session)
		s.belong(s.records.at(at), number)
		if s.move(s.records.at(at), c.Device) {
			s.changed(user)
		}
		return
	}
	at = s.records.take()
	r := s.records.at(at)
	*r = record{
		user: user, session: session, since: now.UnixMilli(),
		room: s.rooms.hold(c.Device.RoomID), device: s.devices.hold(c.Device.Name),
	}
	s.belong(r, number)
	if before == 0 {
		s.records.enter(user, at)
	} else {
		r.since = s.records.at(before).since
		s.records.at(before).next = at
	}
	s.sessions++
	s.changed(user)
}

// belong makes a session one of a gateway, named in its round.
func (s *Shard) belong(r *record, number uint16) {
	g := &s.gateways[number]
	if r.gateway == number && r.round == g.round {
		return
	}
	s.disown(r)
	r.gateway, r.round = number, g.round
	g.sessions++
	g.named++
}

func (s *Shard) disown(r *record) {
	if r.gateway == 0 {
		return
	}
	g := &s.gateways[r.gateway]
	g.sessions--
	if r.round == g.round {
		g.named--
	}
}

// move says whether a session is elsewhere now.
func (s *Shard) move(r *record, to Device) bool {
	room, device := s.rooms.hold(to.RoomID), s.devices.hold(to.Name)
	moved := room != r.room || device != r.device
	s.rooms.release(r.room)
	s.devices.release(r.device)
	r.room, r.device = room, device
	return moved
}

func (s *Shard) unset(number uint16, c *Change) {
	user, ok := s.userIDs.find(c.UserID)
	session, known := s.sessionIDs.find(c.Device.SessionID)
	if !ok || !known {
		return
	}
	if at, before := s.find(user, session); at != 0 && s.records.at(at).gateway == number {
		s.unlink(at, before)
	}
}

// remove removes a session of which the one before is not known.
func (s *Shard) remove(at uint32) {
	r := s.records.at(at)
	_, before := s.find(r.user, r.session)
	s.unlink(at, before)
}

func (s *Shard) unlink(at, before uint32) {
	r := *s.records.at(at)
	if before == 0 {
		s.records.replace(r.user, r.next)
	} else {
		s.records.at(before).next = r.next
	}
	s.disown(&r)
	s.records.give(at)
	s.sessions--
	s.rooms.release(r.room)
	s.devices.release(r.device)
	s.sessionIDs.release(r.session)
	s.changed(r.user)
	s.userIDs.release(r.user)
}
