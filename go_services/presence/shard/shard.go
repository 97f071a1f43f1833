// Package shard is the core of a presence shard: who is online, on which devices, in which room. It has no clock, no
// goroutine and no I/O.
//
// Sessions belong to gateways, and so do leases: a gateway's stream is its lease. When the stream ends, the gateway has
// a while to come back with a snapshot; if it does not, all its sessions are gone at once. So the cost of presence grows
// with gateways and changes, not with users and heartbeats.
package shard

import (
	"slices"
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
	// Since is when the user came online or went offline; zero if not known.
	Since time.Time
}

// Online says whether the user has a session anywhere.
func (p Presence) Online() bool { return len(p.Devices) > 0 }

type user struct {
	devices []placed
	since   time.Time
}

// placed is a device and the gateway that it is on.
type placed struct {
	Device
	gateway string
}

type gateway struct {
	incarnation string
	stream      uint64
	sessions    map[string]string // session id to user id
	lostAt      time.Time         // zero while its stream is open
}

// Shard is one presence shard. Its methods must not be called at the same time.
type Shard struct {
	lease    time.Duration
	changed  func(userID string)
	users    map[string]*user
	gateways map[string]*gateway
	sessions int
}

// New makes an empty shard. Changed is called for each user whose presence has changed.
func New(lease time.Duration, changed func(userID string)) *Shard {
	return &Shard{lease: lease, changed: changed, users: map[string]*user{}, gateways: map[string]*gateway{}}
}

// Users is how many users are online.
func (s *Shard) Users() int { return len(s.users) }

// Sessions is how many sessions there are.
func (s *Shard) Sessions() int { return s.sessions }

// Attach begins a gateway's stream. Sessions of another incarnation of the gateway are gone.
func (s *Shard) Attach(now time.Time, name, incarnation string, stream uint64) {
	g := s.gateways[name]
	if g != nil && g.incarnation != incarnation {
		s.drop(name, g)
		g = nil
	}
	if g == nil {
		g = &gateway{incarnation: incarnation, sessions: map[string]string{}}
		s.gateways[name] = g
	}
	g.stream, g.lostAt = stream, time.Time{}
}

// Snapshot takes all sessions that the gateway has: those it does not name are gone, and nothing happens to those
// that are as they were.
func (s *Shard) Snapshot(now time.Time, name string, stream uint64, all []Change) {
	g := s.current(name, stream)
	if g == nil {
		return
	}
	named := make(map[string]bool, len(all))
	for _, c := range all {
		named[c.Device.SessionID] = true
	}
	for session, userID := range g.sessions {
		if !named[session] {
			s.remove(name, g, session, userID)
		}
	}
	s.Apply(now, name, stream, all)
}

// Apply takes changes of a gateway's sessions.
func (s *Shard) Apply(now time.Time, name string, stream uint64, changes []Change) {
	g := s.current(name, stream)
	if g == nil {
		return
	}
	for _, c := range changes {
		if c.Gone {
			if userID, ok := g.sessions[c.Device.SessionID]; ok {
				s.remove(name, g, c.Device.SessionID, userID)
			}
			continue
		}
		s.set(now, name, g, c)
	}
}

// Detach ends a gateway's stream; its sessions stay for the time of the lease. An older stream ends without effect.
func (s *Shard) Detach(now time.Time, name string, stream uint64) {
	if g := s.current(name, stream); g != nil {
		g.lostAt = now
	}
}

// Expire removes the sessions of gateways that did not come back in time. Call it about once a second.
func (s *Shard) Expire(now time.Time) {
	for name, g := range s.gateways {
		if !g.lostAt.IsZero() && now.Sub(g.lostAt) >= s.lease {
			s.drop(name, g)
		}
	}
}

// Get is the presence of a user.
func (s *Shard) Get(userID string) Presence {
	p := Presence{UserID: userID}
	if u := s.users[userID]; u != nil {
		p.Since = u.since
		for _, d := range u.devices {
			p.Devices = append(p.Devices, d.Device)
		}
	}
	return p
}

// current is the gateway if the stream is its newest.
func (s *Shard) current(name string, stream uint64) *gateway {
	if g := s.gateways[name]; g != nil && g.stream == stream {
		return g
	}
	return nil
}

func (s *Shard) set(now time.Time, name string, g *gateway, c Change) {
	u := s.users[c.UserID]
	if u == nil {
		u = &user{since: now}
		s.users[c.UserID] = u
	}
	next := placed{Device: c.Device, gateway: name}
	at := slices.IndexFunc(u.devices, func(d placed) bool { return d.SessionID == c.Device.SessionID })
	switch {
	case at < 0:
		u.devices = append(u.devices, next)
		g.sessions[c.Device.SessionID] = c.UserID
		s.sessions++
	case u.devices[at] == next:
		return
	default:
		u.devices[at] = next
	}
	s.changed(c.UserID)
}

func (s *Shard) remove(name string, g *gateway, session, userID string) {
	delete(g.sessions, session)
	u := s.users[userID]
	if u == nil {
		return
	}
	u.devices = slices.DeleteFunc(u.devices, func(d placed) bool { return d.SessionID == session && d.gateway == name })
	s.sessions--
	if len(u.devices) == 0 {
		delete(s.users, userID)
	}
	s.changed(userID)
}

func (s *Shard) drop(name string, g *gateway) {
	for session, userID := range g.sessions {
		s.remove(name, g, session, userID)
	}
	delete(s.gateways, name)
}
