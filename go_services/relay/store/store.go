// Package store keeps what must outlive a relay: who owns each room, in which epoch, and the log of its ordered
// channel. Redis holds it (redis.go); a twin in memory (memory.go) does the same for tests and simulations, and one
// suite of tests is run on both.
package store

import (
	"context"
	"errors"

	"github.com/worldmesh/worldmesh/go_services/internal/frames"
)

// ErrFenced tells that somebody else owns the room, in a greater epoch.
var ErrFenced = errors.New("another relay owns the room")

// Bounds of a room's log. Older entries go when a newer one comes; all of it goes when the room has said nothing for
// MaxAge. The owner, its epoch, the last position, the last entity and the members are kept for KeepOwnerMS after the
// last word of an owner (a claim, an append, or Owners), so that epochs and numbers do not begin again.
const (
	// MaxEntries bounds how many entries a log holds.
	MaxEntries = 512
	// MaxAgeMS bounds how old an entry may be, in milliseconds.
	MaxAgeMS = 10 * 60 * 1000
	// KeepOwnerMS is how long a room is remembered that nobody owns, in milliseconds.
	KeepOwnerMS = 24 * 60 * 60 * 1000
)

// Entry is one event of a room's ordered channel, as it is kept.
type Entry struct {
	frames.LogPosition
	// Key tells a repeat of the input from another; empty if it has none.
	Key string
	// To holds the users who alone receive it, for a whisper; empty for all.
	To []string
	// Except is a user who does not receive it: who joins has a snapshot instead.
	Except string
	TimeMS uint64
	// Frame is the encoded ServerFrame.
	Frame []byte
	// Joined is the member that came in by it, or nil.
	Joined *Member
	// Left is the entity that went by it, or 0.
	Left uint32
}

// Member is somebody who is in a room, as far as it must be known after the loss of its relay.
type Member struct {
	Entity   uint32
	UserID   string
	Username string
	Bot      bool
	// Session is the gateway's session that it came in by.
	Session string
	// Role is worldmesh.world.v1.RoomRole's number.
	Role    int32
	SinceMS uint64
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

// ClaimRequest asks for a room.
type ClaimRequest struct {
	Room string
	// Owner is who asks; its epoch is not looked at.
	Owner Owner
	// Held is the epoch in which the asker holds the room already, because it has to claim it again in a new era; or 0.
	Held uint64
	// Era is the present era: the epoch will be of this era at least.
	Era uint64
	// Members are who is in and LastEntity the greatest entity given out, by the knowledge of an asker that holds the
	// room: if Held is not 0 and the claim is granted, they replace what the store has. Entries that the store has
	// forgotten the asker appends again, under their old numbers and epochs.
	Members    []Member
	LastEntity uint32
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
	Members []Member
	// Tail is the log, oldest first.
	Tail []Entry
	// Complete says that the tail begins with the room's first event (also: that there was none yet).
	Complete bool
}

// Store keeps rooms. A claim and an append of one room never overlap in effect.
type Store interface {
	// Claim takes a room that nobody owns, that an earlier incarnation of the asker owned, that the asker holds in the
	// newest epoch, or whose owner's epoch is StealAfter. Otherwise it is not granted, and tells the owner. A granted
	// claim has a new epoch, greater than the record's, than Held and than any of an earlier era; from then on nobody
	// can append in an older one.
	Claim(ctx context.Context, request ClaimRequest) (Claim, error)
	// Append logs entries, in order, all or none, and applies their changes of members. It returns ErrFenced if the
	// epoch is not the owner's any more; after any other error the outcome is not known, and the same entries may be
	// appended again: those that are in the log already are left out.
	Append(ctx context.Context, room string, epoch uint64, entries []Entry) error
	// Release gives a room up, if the epoch is still the owner's.
	Release(ctx context.Context, room string, epoch uint64) error
	// Owners tells who owns each of the rooms, and keeps those from being forgotten that it tells of.
	Owners(ctx context.Context, rooms []string) ([]Owner, error)
}

// Relay is what relays know of each other.
type Relay struct {
	ID          string
	Incarnation string
	Address     string
	Rooms       int
	Draining    bool
}

// Renewal answers a renewed lease.
type Renewal struct {
	// Peers are all relays with a lease, the one who asks included, in order of their ids.
	Peers []Relay
	// ReplicationID changes when another server may have taken the place of the one before, and has forgotten its last
	// writes.
	ReplicationID string
	// Era is the one that was set last, and EraReplicationID the replication id that it was set for; zero if they are
	// not there.
	Era              uint64
	EraReplicationID string
}

// Leases keeps which relays are alive.
type Leases interface {
	// Renew holds the relay's lease for as long as the store's owner has chosen, and tells who else has one.
	Renew(ctx context.Context, relay Relay) (Renewal, error)
	// Leave gives the lease up.
	Leave(ctx context.Context, relay Relay) error
	// Alive says whether a relay's incarnation has a lease.
	Alive(ctx context.Context, relayID, incarnation string) (bool, error)
	// SetEra makes an era known, unless a greater one is.
	SetEra(ctx context.Context, era uint64, replicationID string) error
}
