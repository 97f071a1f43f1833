package store

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/worldmesh/worldmesh/go_services/internal/frames"
	"github.com/worldmesh/worldmesh/go_services/relay/room"
)

// Memory is a Store in memory. Nothing in it is forgotten but by Forget, and leases run out by the clock that it was
// made with.
type Memory struct {
	now func() time.Time

	mu               sync.Mutex
	rooms            map[string]*record
	leases           map[string]lease
	era              uint64
	eraReplicationID string
	eraSince         time.Time
	replicationID    string
}

type record struct {
	owner      Owner
	last       frames.LogPosition
	lastEntity uint32
	members    map[uint32]room.Record
	lost       map[uint32]time.Time
	log        []room.Entry
	complete   bool
}

type lease struct {
	relay Relay
	until time.Time
}

var _ Store = (*Memory)(nil)

// NewMemory makes an empty store.
func NewMemory(now func() time.Time) *Memory {
	return &Memory{now: now, rooms: map[string]*record{}, leases: map[string]lease{}, replicationID: "1"}
}

// Claim is Rooms.Claim.
func (m *Memory) Claim(_ context.Context, q ClaimRequest) (Claim, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.rooms[q.Room]
	if r == nil {
		r = &record{members: map[uint32]room.Record{}, lost: map[uint32]time.Time{}, complete: true}
	}
	if !r.free(q) {
		return Claim{Owner: r.owner}, nil
	}
	epoch := nextEpoch(max(r.owner.Epoch, q.Held), q.Era, m.now())
	if epoch > MaxEpoch {
		return Claim{}, ErrNoEpochs
	}
	m.rooms[q.Room] = r
	r.owner = q.Owner
	r.owner.Epoch = epoch
	if q.Held != 0 {
		clear(r.members)
		clear(r.lost)
		for _, member := range q.Past.Members {
			r.members[member.Entity] = member
		}
		r.lastEntity = max(r.lastEntity, q.Past.LastEntity)
		r.last, r.log, r.complete = q.Past.Last, slices.Clone(q.Past.Tail), q.Past.Complete
	}
	c := Claim{
		Granted: true, Owner: r.owner, Last: r.last, LastEntity: r.lastEntity, Complete: r.complete, Tail: slices.Clone(r.log),
		Lost: map[uint32]time.Duration{},
	}
	for entity, since := range r.lost {
		c.Lost[entity] = max(0, m.now().Sub(since))
	}
	for _, entity := range slices.Sorted(maps.Keys(r.members)) {
		c.Members = append(c.Members, r.members[entity])
	}
	return c, nil
}

// free says whether the room is for who asks.
func (r *record) free(q ClaimRequest) bool {
	if q.Held == 0 {
		return r.owner.Relay == "" || r.owner.Relay == q.Owner.Relay || q.StealAfter != 0 && q.StealAfter == r.owner.Epoch
	}
	same := r.owner.Relay == q.Owner.Relay && r.owner.Incarnation == q.Owner.Incarnation
	wrote := r.last.Seq != q.Past.Last.Seq || r.last.Sub != q.Past.Last.Sub
	return q.Held > r.owner.Epoch || same && (q.Held == r.owner.Epoch || !wrote)
}

// Append is Rooms.Append.
func (m *Memory) Append(_ context.Context, id string, owner Owner, entries []*room.Entry, lost []Lost) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.rooms[id]
	if err := owned(r, owner); err != nil {
		return err
	}
	entries = entries[countOld(entries, r.last):]
	if len(entries) > 0 && !follows(entries[0], r.last) {
		return ErrForgotten
	}
	for _, e := range entries {
		r.last = e.LogPosition
		r.log = append(r.log, *e)
		if e.Joined != nil {
			r.members[e.Joined.Entity] = *e.Joined
			r.lastEntity = max(r.lastEntity, e.Joined.Entity)
		}
		delete(r.members, e.Left)
		delete(r.lost, e.Left)
		for room.Surplus(len(r.log), r.log[0].TimeMS, e.TimeMS) {
			r.log, r.complete = r.log[1:], false
		}
	}
	for _, l := range lost {
		if delete(r.lost, l.Entity); !l.Back {
			r.lost[l.Entity] = m.now().Add(-l.For)
		}
	}
	return nil
}

func owned(r *record, owner Owner) error {
	switch {
	case r == nil || r.owner.Epoch < owner.Epoch:
		return ErrForgotten
	case r.owner.Epoch > owner.Epoch || r.owner.Relay == "":
		return ErrFenced
	case r.owner.Relay != owner.Relay || r.owner.Incarnation != owner.Incarnation:
		return ErrForgotten // the same epoch was given away twice
	}
	return nil
}

// countOld is how many entries are in a log already that ends at a position. Epochs do not count: numbers go on.
func countOld(entries []*room.Entry, last frames.LogPosition) (old int) {
	for _, e := range entries {
		if cmp.Or(cmp.Compare(e.Seq, last.Seq), cmp.Compare(e.Sub, last.Sub)) <= 0 {
			old++
		}
	}
	return old
}

// follows says whether an entry is the next after a position: otherwise the store has forgotten some in between.
func follows(e *room.Entry, last frames.LogPosition) bool {
	return e.Seq == last.Seq+1 && e.Sub == 0 && e.After == last.Sub || e.Seq == last.Seq && e.Sub == last.Sub+1
}

// Release is Rooms.Release.
func (m *Memory) Release(_ context.Context, id string, owner Owner, last frames.LogPosition) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.rooms[id]
	if err := owned(r, owner); err != nil {
		return err
	}
	if r.last.Seq != last.Seq || r.last.Sub != last.Sub {
		return ErrForgotten
	}
	r.owner = Owner{Epoch: owner.Epoch}
	return nil
}

// Owners is Rooms.Owners.
func (m *Memory) Owners(_ context.Context, rooms []string) (map[string]Ownership, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	owners := make(map[string]Ownership, len(rooms))
	for _, id := range rooms {
		owners[id] = Ownership{}
		if r := m.rooms[id]; r != nil {
			owners[id] = Ownership{r.owner, r.last}
		}
	}
	return owners, nil
}

// Keep is Rooms.Keep.
func (m *Memory) Keep(context.Context, []string) error { return nil }

// Renew is Leases.Renew.
func (m *Memory) Renew(_ context.Context, relay Relay, length time.Duration) (Renewal, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	m.leases[relay.ID] = lease{relay, now.Add(length)}
	renewal := Renewal{ReplicationID: m.replicationID, Era: m.era, EraReplicationID: m.eraReplicationID, EraAge: now.Sub(m.eraSince)}
	renewal.Silent = map[string]time.Duration{}
	for _, id := range slices.Sorted(maps.Keys(m.leases)) {
		if l := m.leases[id]; l.until.After(now) {
			renewal.Peers = append(renewal.Peers, l.relay)
			renewal.Silent[id] = max(0, length-l.until.Sub(now))
		} else {
			delete(m.leases, id)
		}
	}
	return renewal, nil
}

// Leave is Leases.Leave.
func (m *Memory) Leave(_ context.Context, relay Relay) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.leases[relay.ID].relay.Incarnation == relay.Incarnation {
		delete(m.leases, relay.ID)
	}
	return nil
}

// SetEra is Leases.SetEra.
func (m *Memory) SetEra(_ context.Context, era uint64, replicationID string, isNew bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if era > m.era && !isNew {
		m.eraSince = m.now()
	}
	if era >= m.era {
		m.era, m.eraReplicationID = era, replicationID
	}
	return nil
}

// String tells who owns each room and how far its log has come, for tests and people.
func (m *Memory) String() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return Memento{m.rooms}.String()
}

// Forget loses everything, as FLUSHALL does.
func (m *Memory) Forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.rooms)
	clear(m.leases)
	m.era, m.eraReplicationID, m.eraSince = 0, "", time.Time{}
}

// Memento is the state of a Memory at some moment.
type Memento struct{ rooms map[string]*record }

// String tells all that matters: Logs, and whose connections are lost.
func (s Memento) String() string {
	var text strings.Builder
	text.WriteString(s.Logs())
	for _, id := range slices.Sorted(maps.Keys(s.rooms)) {
		lost := s.rooms[id].lost
		for _, entity := range slices.Sorted(maps.Keys(lost)) {
			fmt.Fprintf(&text, "%s %d lost at %d\n", id, entity, lost[entity].UnixMilli())
		}
	}
	return text.String()
}

// Logs tells who owns each room and how far its log has come.
func (s Memento) Logs() string {
	var text strings.Builder
	for _, id := range slices.Sorted(maps.Keys(s.rooms)) {
		r := s.rooms[id]
		fmt.Fprintf(&text, "%s of %+v at %v, %d in, log", id, r.owner, r.last, len(r.members))
		for _, e := range r.log {
			fmt.Fprintf(&text, " %v %s", e.LogPosition, e.Key)
		}
		text.WriteByte('\n')
	}
	return text.String()
}

// Save keeps the rooms as they are, for FailOver.
func (m *Memory) Save() Memento {
	m.mu.Lock()
	defer m.mu.Unlock()
	saved := Memento{map[string]*record{}}
	for id, r := range m.rooms {
		c := *r
		c.members, c.lost, c.log = maps.Clone(r.members), maps.Clone(r.lost), slices.Clone(r.log)
		saved.rooms[id] = &c
	}
	return saved
}

// FailOver has a replica take over that has not seen what was written since.
func (m *Memory) FailOver(to Memento) {
	m.FailOverUnseen(to)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.replicationID += "'"
}

// FailOverUnseen is FailOver of a part of a cluster that has rooms, but not the leases: their replication id stays.
func (m *Memory) FailOverUnseen(to Memento) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rooms = to.rooms
}
