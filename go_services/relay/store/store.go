// Package store keeps what must outlive a relay: who owns each room, in which epoch, and the log of its ordered
// channel. Redis holds it (redis.go); a twin in memory (memory.go) does the same for tests and simulations, and one
// suite of tests is run on both.
package store

import (
	"context"
	"errors"
	"time"

	"github.com/worldmesh/worldmesh/go_services/internal/frames"
	"github.com/worldmesh/worldmesh/go_services/relay/room"
)

// ErrFenced tells that somebody else owns the room, in a greater epoch.
var ErrFenced = errors.New("another relay owns the room")

// ErrForgotten tells that the store knows nothing of the epoch in which it was written: it has lost its last writes. The
// owner must claim the room again, in a newer era.
var ErrForgotten = errors.New("the store has forgotten who owns the room")

// KeepRoom is how long a room is remembered after the last word of an owner (a claim, an append, or Keep): its epoch,
// its last position, its last entity and its members, so that epochs and numbers do not begin again. Its log is kept
// for as long as its entries may be old.
const KeepRoom = 24 * time.Hour

const keepLog = room.MaxAgeMS * time.Millisecond

// EpochsPerEra is how many epochs an era has: 2,748,779,069 seconds of the clock that counts them. An epoch stays exact as a
// JSON number (2^53) until the year 2113 and for 32,768 eras.
const EpochsPerEra = 1 << 38

// epochLength is how often the store's clock counts an epoch. A claim gets the newest: so one that the store has forgotten is
// not given again, unless within as long.
const epochLength = 10 * time.Millisecond

// epochsBegan is when it began to count.
var epochsBegan = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

// MaxEpoch is the greatest: numbers of Lua and of JSON are exact up to it.
const MaxEpoch = 1<<53 - 1

// ErrNoEpochs tells that there is no greater epoch: a room can't be claimed any more.
var ErrNoEpochs = errors.New("the epochs are used up: too many eras have passed")

// nextEpoch is the epoch of a claim at a time: after another, and not before an era.
func nextEpoch(after, era uint64, at time.Time) uint64 {
	first := max(era, after/EpochsPerEra) * EpochsPerEra
	return max(after+1, first+uint64(max(0, at.Sub(epochsBegan)/epochLength)))
}

// Owner is the relay that a room belongs to.
type Owner struct {
	Relay string
	// Incarnation is chosen anew at each start of a relay.
	Incarnation string
	// Address is where gateways reach it, for the header `x-worldmesh-host`.
	Address string
	// Epoch is zero if nobody has owned the room as long as can be remembered. A room that was released keeps the
	// epoch of its last owner, whose other fields are empty then.
	Epoch uint64
}

// Ownership is who owns a room, and the position of the newest entry of its log.
type Ownership struct {
	Owner Owner
	Last  frames.LogPosition
}

// ClaimRequest asks for a room.
type ClaimRequest struct {
	Room string
	// Owner is who asks; its epoch is not looked at.
	Owner Owner
	// Held is the epoch in which the asker holds the room already, because it has to claim it again in a new era; or 0.
	Held uint64
	// Era is the present era: the epoch will be of this era at least.
	Era uint64
	// Past is what an asker that holds the room knows of it: if Held is not 0 and the claim is granted, it replaces what
	// the store has, for that may lack its last writes, or be of an owner that was forgotten.
	Past room.Past
	// StealAfter is the epoch of an owner who is believed dead; the room is taken from it. Or 0.
	StealAfter uint64
}

// Claim answers a ClaimRequest.
type Claim struct {
	Granted bool
	// Owner is who owns the room now.
	Owner Owner
	// Last is the position of the newest entry that was ever appended, also if the log has gone; of a room that is not
	// remembered, the zero position.
	Last frames.LogPosition
	// LastEntity is the greatest entity that was ever given out, as far as the store knows.
	LastEntity uint32
	// Members are who is in, in order of entity.
	Members []room.Record
	// Lost says for how long members have had no connection, by the store's clock.
	Lost map[uint32]time.Duration
	// Tail is the log, oldest first.
	Tail []room.Entry
	// Complete says that the tail begins with the room's first event (also: that there was none yet).
	Complete bool
}

// Past is the claim as the room's core takes it.
func (c Claim) Past() room.Past {
	return room.Past{
		Epoch: c.Owner.Epoch, Last: c.Last, LastEntity: c.LastEntity, Members: c.Members, Lost: c.Lost,
		Tail: c.Tail, Complete: c.Complete,
	}
}

// Lost is a member whose connection is lost, and for how long; or one who has one again.
type Lost struct {
	Entity uint32
	For    time.Duration
	Back   bool
}

// Rooms keeps rooms. A claim and an append of one room never overlap in effect.
type Rooms interface {
	// Claim takes a room that nobody owns, that the asking relay itself has owned, or whose owner's epoch is StealAfter. Who
	// holds a room (Held) takes it if the store knows of no epoch so new; or if the same start of the relay owns it, in that
	// epoch, or in a newer one in which nothing was written: then an earlier claim had its answer lost. One that comes late,
	// when others had the room meanwhile, would undo what they wrote. Otherwise it is not granted, and tells the owner. A
	// granted claim has a new epoch, greater than the record's, than Held and than any of an earlier era, and as great as the
	// clock has it: another than any that was given before and may have been forgotten. From then on nobody can append in an
	// older one.
	Claim(ctx context.Context, request ClaimRequest) (Claim, error)
	// Append logs entries, in order, all or none, and applies their changes of members; then it takes note of whose
	// connections are lost, or back. The owner is who appends, with its epoch: ErrFenced or ErrForgotten if the room is not its own; ErrForgotten also if the entries do not follow what
	// is in the log. After any other error the outcome is not known, and the same entries may be appended again: those
	// that are in the log already are left out.
	Append(ctx context.Context, room string, owner Owner, entries []*room.Entry, lost []Lost) error
	// Release gives a room up, if it is still the owner's. It returns ErrForgotten if the log does not end at `last`: the
	// owner must not go before what it knows is in the store.
	Release(ctx context.Context, room string, owner Owner, last frames.LogPosition) error
	// Owners tells who owns each of the rooms and where its log ends. After an error it has told of those whose part of the
	// store has answered.
	Owners(ctx context.Context, rooms []string) (map[string]Ownership, error)
	// Keep has rooms be remembered in which nothing happens.
	Keep(ctx context.Context, rooms []string) error
}

// Relay is what relays know of each other.
type Relay struct {
	ID          string
	Incarnation string
	Address     string
	Rooms       int
	Draining    bool
	// Era is the oldest in which it owns one of its rooms; 0: it has none. One that is older than the present era has not told
	// the store of all of them again.
	Era uint64
}

// Renewal answers a renewed lease.
type Renewal struct {
	// Peers are all relays with a lease, the one who asks included, in order of their ids.
	Peers []Relay
	// Silent is how long ago each of them has renewed its lease, by their ids.
	Silent map[string]time.Duration
	// ReplicationID changes when another server may have taken the place of the one before, and has forgotten its last
	// writes.
	ReplicationID string
	// Era is the one that was set last, EraReplicationID the replication id that it was set for, and EraAge how long ago that
	// was, or very long if nobody had a room before; zero if they are not there.
	Era              uint64
	EraReplicationID string
	EraAge           time.Duration
}

// Leases keeps which relays are alive.
type Leases interface {
	// Renew holds the relay's lease, and tells who else has one.
	Renew(ctx context.Context, relay Relay, lease time.Duration) (Renewal, error)
	// Leave gives the lease up.
	Leave(ctx context.Context, relay Relay) error
	// SetEra makes an era known, unless a greater one is: of a world that is new, if nobody can have had a room before it.
	SetEra(ctx context.Context, era uint64, replicationID string, isNew bool) error
}

// Store is all that relays keep.
type Store interface {
	Rooms
	Leases
}
