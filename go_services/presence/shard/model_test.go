package shard

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

var times = Config{Lease: 8 * time.Second, Settle: 5 * time.Second}

// model is what a shard should know, said as plainly as possible: sessions by their ids, and nothing else.
type model struct {
	sessions map[string]modelSession
	gateways map[string]*modelGateway
}

type modelSession struct {
	Change
	gateway *modelGateway
	named   bool
}

type modelGateway struct {
	incarnation int
	stream      uint64
	lostAt      time.Time
}

func (m *model) attach(now time.Time, name string, incarnation int, stream uint64) {
	g := m.gateways[name]
	if g != nil && g.incarnation != incarnation {
		if g.lostAt.IsZero() {
			g.lostAt = now
		}
		g = nil
	}
	if g == nil {
		g = &modelGateway{incarnation: incarnation}
		m.gateways[name] = g
	}
	g.stream, g.lostAt = stream, time.Time{}
	for id, s := range m.sessions {
		if s.gateway == g {
			s.named = false
			m.sessions[id] = s
		}
	}
}

func (m *model) apply(name string, stream uint64, changes []Change) {
	g := m.gateways[name]
	if g == nil || g.stream != stream {
		return
	}
	for _, c := range changes {
		if !c.Gone {
			m.sessions[c.Device.SessionID] = modelSession{c, g, true}
		} else if m.sessions[c.Device.SessionID].gateway == g {
			delete(m.sessions, c.Device.SessionID)
		}
	}
}

func (m *model) complete(name string) {
	g := m.gateways[name]
	maps.DeleteFunc(m.sessions, func(_ string, s modelSession) bool { return s.gateway == g && !s.named })
}

func (m *model) expire(now time.Time) {
	expired := func(g *modelGateway) bool { return !g.lostAt.IsZero() && now.Sub(g.lostAt) >= times.Lease }
	maps.DeleteFunc(m.gateways, func(_ string, g *modelGateway) bool { return expired(g) })
	maps.DeleteFunc(m.sessions, func(_ string, s modelSession) bool { return expired(s.gateway) })
}

func (m *model) devices(user string) []Device {
	var devices []Device
	for _, s := range m.sessions {
		if s.UserID == user {
			devices = append(devices, s.Device)
		}
	}
	return sorted(devices)
}

func sorted(devices []Device) []Device {
	return slices.SortedFunc(slices.Values(devices), func(a, b Device) int { return cmp.Compare(a.SessionID, b.SessionID) })
}

// lives plays random lives of gateways on a shard and on the model.
type lives struct {
	t       *testing.T
	random  *rand.Rand
	now     time.Time
	shard   *Shard
	model   *model
	users   []string
	streams uint64
	session int
	readers []*reader
	// lazy leaves sweeps undone for a while, as a shard does that lets others in between.
	lazy bool
}

// reader watches some users and remembers what it has heard of each.
type reader struct {
	began bool
	watch *Watch
	users []string
	view  map[string][]Device
	woken bool
}

func newLives(t *testing.T, seed uint64, lazy bool) *lives {
	l := &lives{
		t: t, random: rand.New(rand.NewPCG(seed, 0)), now: time.UnixMilli(0), lazy: lazy,
		model: &model{sessions: map[string]modelSession{}, gateways: map[string]*modelGateway{}},
		shard: New(time.UnixMilli(0).Add(-times.Settle), times),
	}
	for i := range 30 {
		l.users = append(l.users, someID("usr_", i))
	}
	l.shard.Expire(l.now)
	return l
}

// someID is an id of the usual form, or for every third one that is not.
func someID(prefix string, i int) string {
	if i%3 == 0 {
		return fmt.Sprint(prefix, i)
	}
	return fmt.Sprintf("%s01HZYABCDEFGHJKMNP%08d", prefix, i)
}

func (l *lives) gateway() string { return fmt.Sprint("gateway-", l.random.IntN(4)) }

func (l *lives) step() {
	switch name, g := l.gateway(), l.model.gateways[l.gateway()]; l.random.IntN(12) {
	case 0:
		l.attach(name)
	case 1:
		l.now = l.now.Add(time.Duration(l.random.IntN(5000)) * time.Millisecond)
		l.shard.Expire(l.now)
		l.model.expire(l.now)
	case 2:
		if g = l.model.gateways[name]; g != nil {
			l.shard.Detach(l.now, name, g.stream)
			g.lostAt = l.now
		}
	case 3:
		l.watch()
	case 4:
		if len(l.readers) > 3 {
			at := l.random.IntN(len(l.readers))
			l.shard.Unwatch(l.readers[at].watch)
			l.readers = slices.Delete(l.readers, at, at+1)
		}
	default:
		if g = l.model.gateways[name]; g != nil {
			l.apply(name, g.stream-uint64(l.random.IntN(10)/9), l.changes(name)) // some of an older stream
		}
	}
	if l.lazy {
		l.shard.Sweep(l.random.IntN(20))
	} else {
		l.sweep()
	}
	for _, r := range l.readers {
		if l.random.IntN(4) == 0 {
			l.read(r)
		}
	}
}

func (l *lives) sweep() {
	for l.shard.Sweep(7) {
	}
}

// attach begins a stream, of the same gateway or of one that was started anew, and tells what it has; sometimes the
// stream ends in between.
func (l *lives) attach(name string) {
	incarnation := l.random.IntN(4) / 3
	if g := l.model.gateways[name]; g != nil {
		incarnation += g.incarnation
	}
	has := l.has(name, incarnation)
	l.streams += 2
	l.shard.Attach(l.now, name, fmt.Sprint(incarnation), l.streams)
	l.model.attach(l.now, name, incarnation, l.streams)
	for part := range slices.Chunk(has, 3) {
		if l.random.IntN(20) == 0 {
			return
		}
		if l.random.IntN(5) == 0 { // and one of them goes before all are told
			part = append(slices.Clone(part), Change{UserID: part[0].UserID, Device: part[0].Device, Gone: true})
		}
		l.apply(name, l.streams, part)
	}
	l.shard.Complete(name, l.streams)
	l.model.complete(name)
}

// has is most of what the gateway had, and some that is new.
func (l *lives) has(name string, incarnation int) (has []Change) {
	if g := l.model.gateways[name]; g != nil && g.incarnation == incarnation {
		for _, s := range l.model.sessions {
			if s.gateway == g && l.random.IntN(8) > 0 {
				has = append(has, s.Change)
			}
		}
	}
	return append(has, l.fresh())
}

func (l *lives) fresh() Change {
	l.session++
	return Change{UserID: l.users[l.random.IntN(len(l.users))], Device: Device{
		SessionID: someID("gws_", l.session), Name: "web", RoomID: l.room(),
	}}
}

func (l *lives) room() string { return []string{"", "room_plaza", "room_garden"}[l.random.IntN(3)] }

func (l *lives) changes(name string) (changes []Change) {
	for _, s := range l.model.sessions {
		switch l.random.IntN(6) {
		case 0: // also of what another gateway has
			changes = append(changes, Change{UserID: s.UserID, Device: Device{SessionID: s.Device.SessionID}, Gone: true})
		case 1:
			if s.gateway == l.model.gateways[name] || l.random.IntN(10) == 0 { // or it comes over from another
				s.Device.RoomID = l.room()
				changes = append(changes, s.Change)
			}
		}
	}
	return append(changes, l.fresh())
}

func (l *lives) apply(name string, stream uint64, changes []Change) {
	l.shard.Apply(l.now, name, stream, changes)
	l.model.apply(name, stream, changes)
}

func (l *lives) watch() {
	r := &reader{view: map[string][]Device{}}
	for _, at := range l.random.Perm(len(l.users))[:1+l.random.IntN(10)] {
		r.users = append(r.users, l.users[at])
	}
	r.watch = l.shard.Watch(r.users, func() { r.woken = true })
	l.readers = append(l.readers, r)
}

func (l *lives) read(r *reader) {
	if !r.woken {
		return
	}
	r.woken = false
	news := l.shard.Take(r.watch)
	defer func() { r.began = true }()
	for _, p := range news {
		if p.Unknown && r.began {
			l.t.Fatalf("a reader is told again of %s, of whom nothing is known", p.UserID)
		}
		if p.Unknown {
			continue
		}
		r.view[p.UserID] = sorted(p.Devices)
	}
}

// check compares everything.
func (l *lives) check() {
	l.t.Helper()
	online := map[string]bool{}
	for _, s := range l.model.sessions {
		online[s.UserID] = true
	}
	if l.shard.Users() != len(online) || l.shard.Sessions() != len(l.model.sessions) {
		l.t.Fatalf("%d users, %d sessions; want %d, %d",
			l.shard.Users(), l.shard.Sessions(), len(online), len(l.model.sessions))
	}
	for name, number := range l.shard.byName {
		want := 0
		for _, s := range l.model.sessions {
			if s.gateway == l.model.gateways[name] {
				want++
			}
		}
		if got := l.shard.gateways[number].sessions; got != want {
			l.t.Fatalf("%s has %d sessions, want %d", name, got, want)
		}
	}
	for _, user := range l.users {
		if got, want := sorted(l.shard.Get(user).Devices), l.model.devices(user); !slices.Equal(got, want) {
			l.t.Fatalf("%s has %v, want %v", user, got, want)
		}
	}
	for _, r := range l.readers {
		l.read(r)
		for _, user := range r.users {
			if got, want := r.view[user], l.model.devices(user); !slices.Equal(got, want) {
				l.t.Fatalf("a reader believes of %s %v, want %v", user, got, want)
			}
		}
	}
}

// end ends all gateways; whatever the shard held for them it must have given back.
func (l *lives) end() {
	for name, g := range l.model.gateways {
		l.shard.Detach(l.now, name, g.stream)
		g.lostAt = l.now
	}
	l.now = l.now.Add(times.Lease)
	l.shard.Expire(l.now)
	l.model.expire(l.now)
	l.sweep()
	l.check()
	for _, r := range l.readers {
		l.shard.Unwatch(r.watch)
	}
	s := l.shard
	for what, left := range map[string]int{
		"rooms": len(s.rooms.numbers), "devices": len(s.devices.numbers), "users": len(s.userIDs.others.numbers),
		"sessions": len(s.sessionIDs.others.numbers), "watched": len(s.watched), "watches": len(s.watches),
		"gateways": len(s.gateways) - 1 - len(s.freeGateways),
	} {
		if left != 0 {
			l.t.Errorf("%d %s are left", left, what)
		}
	}
}

func TestRandomLivesOfGatewaysAgreeWithTheModel(t *testing.T) {
	for seed := range uint64(100) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			l := newLives(t, seed, false)
			for range 200 {
				l.step()
				l.check()
			}
			l.end()
		})
	}
}

func TestSweepsThatLetOthersInBetweenComeToTheSame(t *testing.T) {
	for seed := range uint64(100) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			l := newLives(t, seed, true)
			for range 10 {
				for range 20 {
					l.step()
				}
				// A gateway that comes back before its sweep is done says anew what it has: so let each say all.
				for name, g := range l.model.gateways {
					l.streams += 2
					l.shard.Attach(l.now, name, fmt.Sprint(g.incarnation), l.streams)
					var has []Change
					for _, s := range l.model.sessions {
						if s.gateway == g {
							has = append(has, s.Change)
						}
					}
					l.model.attach(l.now, name, g.incarnation, l.streams)
					l.apply(name, l.streams, has)
					l.shard.Complete(name, l.streams)
				}
				l.sweep()
				l.check()
			}
			l.end()
		})
	}
}

func TestAUserOfADeadGatewayIsOfflineOnceAndWithinTheLease(t *testing.T) {
	now := time.UnixMilli(0)
	s := New(now.Add(-times.Settle), times)
	s.Expire(now)
	var users []string
	var has []Change
	for i := range 200 {
		users = append(users, someID("usr_", i))
		has = append(has, Change{UserID: users[i], Device: Device{SessionID: someID("gws_", i)}})
	}
	s.Attach(now, "gateway-0", "1", 1)
	s.Apply(now, "gateway-0", 1, has)
	s.Complete("gateway-0", 1)
	w := s.Watch(users, func() {})
	if online := s.Take(w); len(online) != 200 || !online[7].Online() {
		t.Fatalf("the watch begins with %d users", len(online))
	}
	s.Detach(now, "gateway-0", 1)
	offline, first := map[string]int{}, time.Duration(0)
	for passed := time.Duration(0); passed < 2*times.Lease; passed += time.Second {
		s.Expire(now.Add(passed))
		for more := true; more; {
			more = s.Sweep(50)
			for _, p := range s.Take(w) {
				if p.Online() {
					t.Errorf("%s is online", p.UserID)
				}
				offline[p.UserID]++
				first = cmp.Or(first, passed)
			}
		}
	}
	if first != times.Lease || len(offline) != 200 {
		t.Errorf("%d users are offline from %v on", len(offline), first)
	}
	for user, n := range offline {
		if n != 1 {
			t.Errorf("%s is offline %d times", user, n)
		}
	}
}

func TestNobodyFlapsWhenAShardIsLost(t *testing.T) {
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 0))
		has, users, now := map[string][]Change{}, []string{}, time.UnixMilli(0)
		for i := range 150 {
			users = append(users, someID("usr_", i))
			for device := range i % 3 { // every third is not online, every third on two gateways
				name := fmt.Sprint("gateway-", (i+device)%4)
				has[name] = append(has[name], Change{UserID: users[i], Device: Device{SessionID: someID("gws_", 10*i+device)}})
			}
		}
		s := New(now, times)
		woken, view := false, map[string][]bool{}
		w := s.Watch(users, func() { woken = true })
		look := func() {
			if !woken {
				return
			}
			woken = false
			for _, p := range s.Take(w) {
				if !p.Unknown {
					view[p.UserID] = append(view[p.UserID], p.Online())
				}
			}
		}
		for at, name := range slices.Sorted(maps.Keys(has)) {
			now = now.Add(time.Duration(random.IntN(1200)) * time.Millisecond)
			s.Expire(now)
			look()
			s.Attach(now, name, "1", uint64(at+1))
			for part := range slices.Chunk(has[name], 10) {
				s.Apply(now, name, uint64(at+1), part)
				if random.IntN(3) == 0 {
					look()
				}
			}
			s.Complete(name, uint64(at+1))
			for s.Sweep(10) {
				look()
			}
		}
		s.Expire(now.Add(times.Settle))
		look()
		for i, user := range users {
			if told := view[user]; len(told) == 0 || slices.Contains(told, i%3 == 0) {
				t.Fatalf("seed %d: of %s, who is on %d devices, is told: online %v", seed, user, i%3, told)
			}
		}
	}
}

func TestAUserIsOnlineSinceTheFirstSessionAndNotSinceTheLast(t *testing.T) {
	s := New(time.UnixMilli(0), Config{})
	s.Attach(time.UnixMilli(0), "gateway-0", "1", 1)
	say := func(at int64, session string, gone bool) {
		s.Apply(time.UnixMilli(at), "gateway-0", 1, []Change{{UserID: "usr_ann", Device: Device{SessionID: session}, Gone: gone}})
	}
	say(100, "s1", false)
	say(200, "s2", false)
	say(300, "s1", true)
	say(400, "s3", false)
	if p := s.Get("usr_ann"); p.Since.UnixMilli() != 100 || len(p.Devices) != 2 {
		t.Errorf("%+v", p)
	}
}
