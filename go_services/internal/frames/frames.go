// Package frames holds what travels between a client and the gateway as plain Go values, and encodes it: state batches
// packed, all else as FlatBuffers (proto/worldmesh/client/v1/client.fbs). Relay and gateway share it.
package frames

import (
	"cmp"

	"github.com/worldmesh/worldmesh/clients/go/statebatch"
	clientv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/client/v1"
)

// What a state batch is made of.
type (
	Vec3         = statebatch.Vec3
	EntityState  = statebatch.State
	EntityValues = statebatch.Values
	StateBatch   = statebatch.Batch
)

// StateOf is the state that a frame has.
func StateOf(s *clientv1.EntityState) EntityState {
	p := s.Position(nil)
	return EntityState{
		Entity: s.Entity(), Position: Vec3{X: p.X(), Y: p.Y(), Z: p.Z()}, Yaw: s.Yaw(), Animation: s.Animation(),
	}
}

// User is what others see of an account.
type User struct {
	ID       string
	Username string
	Bot      bool
}

// Member is a user in a room.
type Member struct {
	User   User
	State  EntityState
	Values []byte
}

// LogPosition is a place in a room's ordered channel. The zero value is before the first event.
type LogPosition struct {
	// Epoch is the one in which the event was logged.
	Epoch uint64
	// Seq grows by one with each event that all members see.
	Seq uint64
	// Sub numbers the whispers after an event, from 1; 0 for the event itself.
	Sub uint32
}

// Compare is negative if p comes before q, positive if after.
func (p LogPosition) Compare(q LogPosition) int {
	return cmp.Or(cmp.Compare(p.Epoch, q.Epoch), cmp.Compare(p.Seq, q.Seq), cmp.Compare(p.Sub, q.Sub))
}

// Snapshot is a room as it is when a member enters.
type Snapshot struct {
	// LogPosition is the place after which the events follow.
	LogPosition
	RoomID      string
	DisplayName string
	// Resumed says that the member never left; Gap, that it has missed events that can't be had any more.
	Resumed, Gap bool
	Tick         uint64
	TickHz       uint8
	Width        float32
	Depth        float32
	MaxSpeed     float32
	SelfEntity   uint32
	Members      []Member
	// ViewRadius is 0 if everybody is in sight. Otherwise Members is only the receiver, rosters follow with the others, and
	// state batches with those in sight: all within so many metres at least.
	ViewRadius float32
}

// Roster is more of a snapshot's members, in order of entity; Last says that nobody follows.
type Roster struct {
	Members []Member
	Last    bool
}

// Event is one event of a room's ordered channel.
type Event struct {
	LogPosition
	TimeMS uint64
	Body   EventBody
}

// EventBody is one of MemberJoined, MemberLeft, ChatMessage, WhisperMessage, EmoteMessage.
type EventBody interface{ isEventBody() }

// MemberJoined tells that somebody entered.
type MemberJoined struct {
	Member Member
	// OutOfSight says that it is not in sight before a StateBatch says where it is.
	OutOfSight bool
}

// MemberLeft tells that somebody left.
type MemberLeft struct {
	Entity uint32
	UserID string
}

// ChatMessage is said to all members.
type ChatMessage struct {
	Sender          User
	Text            string
	ClientMessageID string
}

// WhisperMessage is said to one member; the sender hears it too.
type WhisperMessage struct {
	Sender          User
	TargetUserID    string
	Text            string
	ClientMessageID string
}

// EmoteMessage is an emote that all members see.
type EmoteMessage struct {
	Sender          User
	EmoteID         string
	TargetUserID    string
	ClientMessageID string
}

func (MemberJoined) isEventBody()   {}
func (MemberLeft) isEventBody()     {}
func (ChatMessage) isEventBody()    {}
func (WhisperMessage) isEventBody() {}
func (EmoteMessage) isEventBody()   {}

// Error answers a frame that was not done.
type Error struct {
	// Reason is a name out of worldmesh.common.v1.ErrorReason without its prefix.
	Reason  string
	Message string
	// Code is a gRPC status code.
	Code         int32
	RetryAfterMS uint32
	// Status is a serialized google.rpc.Status; empty but for calls.
	Status []byte
}

// Welcome answers a client's hello.
type Welcome struct {
	GatewaySessionID string
	User             User
	HeartbeatMS      uint32
	TokenExpiresInMS uint32
}
