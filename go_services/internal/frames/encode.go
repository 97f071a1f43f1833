package frames

import (
	flatbuffers "github.com/google/flatbuffers/go"
	"github.com/worldmesh/worldmesh/clients/go/statebatch"
	clientv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/client/v1"
)

// serverIdentifier is the file identifier of ServerFrame; its number is the version of the schema.
const serverIdentifier = "WMS1"

// Encoder encodes server frames. It keeps its buffer between frames, so one goroutine at a time may use it, and what
// a method returns is valid only until the next call: who keeps it, copies it.
type Encoder struct {
	b     *flatbuffers.Builder
	batch []byte
}

// NewEncoder makes an encoder.
func NewEncoder() *Encoder { return &Encoder{b: flatbuffers.NewBuilder(1024)} }

func (e *Encoder) finish(rid uint32, kind clientv1.ServerBody, body flatbuffers.UOffsetT) []byte {
	clientv1.ServerFrameStart(e.b)
	clientv1.ServerFrameAddRid(e.b, rid)
	clientv1.ServerFrameAddBodyType(e.b, kind)
	clientv1.ServerFrameAddBody(e.b, body)
	e.b.FinishWithFileIdentifier(clientv1.ServerFrameEnd(e.b), []byte(serverIdentifier))
	return e.b.FinishedBytes()
}

// optional strings and bytes that are empty are left out.
func (e *Encoder) text(s string) flatbuffers.UOffsetT {
	if s == "" {
		return 0
	}
	return e.b.CreateString(s)
}

func (e *Encoder) bytes(p []byte) flatbuffers.UOffsetT {
	if len(p) == 0 {
		return 0
	}
	return e.b.CreateByteVector(p)
}

func (e *Encoder) user(u User) flatbuffers.UOffsetT {
	id, name := e.b.CreateString(u.ID), e.b.CreateString(u.Username)
	clientv1.UserStart(e.b)
	clientv1.UserAddUserId(e.b, id)
	clientv1.UserAddUsername(e.b, name)
	clientv1.UserAddBot(e.b, u.Bot)
	return clientv1.UserEnd(e.b)
}

func (e *Encoder) state(s EntityState) flatbuffers.UOffsetT {
	return clientv1.CreateEntityState(e.b, s.Entity, s.Position.X, s.Position.Y, s.Position.Z, s.Yaw, s.Animation)
}

func (e *Encoder) member(m Member) flatbuffers.UOffsetT {
	user, values := e.user(m.User), e.bytes(m.Values)
	clientv1.MemberStart(e.b)
	clientv1.MemberAddUser(e.b, user)
	clientv1.MemberAddState(e.b, e.state(m.State))
	if values != 0 {
		clientv1.MemberAddValues(e.b, values)
	}
	return clientv1.MemberEnd(e.b)
}

// Ok encodes the answer that a frame was done.
func (e *Encoder) Ok(rid uint32) []byte {
	e.b.Reset()
	clientv1.OkStart(e.b)
	return e.finish(rid, clientv1.ServerBodyOk, clientv1.OkEnd(e.b))
}

// Error encodes the answer that a frame was not done.
func (e *Encoder) Error(rid uint32, m Error) []byte {
	e.b.Reset()
	reason, message, status := e.b.CreateString(m.Reason), e.text(m.Message), e.bytes(m.Status)
	clientv1.ErrorStart(e.b)
	clientv1.ErrorAddReason(e.b, reason)
	if message != 0 {
		clientv1.ErrorAddMessage(e.b, message)
	}
	clientv1.ErrorAddCode(e.b, m.Code)
	clientv1.ErrorAddRetryAfterMs(e.b, m.RetryAfterMS)
	if status != 0 {
		clientv1.ErrorAddStatus(e.b, status)
	}
	return e.finish(rid, clientv1.ServerBodyError, clientv1.ErrorEnd(e.b))
}

// Welcome encodes the answer to hello.
func (e *Encoder) Welcome(rid uint32, m Welcome) []byte {
	e.b.Reset()
	session, user := e.b.CreateString(m.GatewaySessionID), e.user(m.User)
	clientv1.WelcomeStart(e.b)
	clientv1.WelcomeAddGatewaySessionId(e.b, session)
	clientv1.WelcomeAddUser(e.b, user)
	clientv1.WelcomeAddHeartbeatMs(e.b, m.HeartbeatMS)
	clientv1.WelcomeAddTokenExpiresInMs(e.b, m.TokenExpiresInMS)
	return e.finish(rid, clientv1.ServerBodyWelcome, clientv1.WelcomeEnd(e.b))
}

// Snapshot encodes the answer to join.
func (e *Encoder) Snapshot(rid uint32, m Snapshot) []byte {
	e.b.Reset()
	members := e.members(m.Members)
	room, name := e.b.CreateString(m.RoomID), e.text(m.DisplayName)
	clientv1.SnapshotStart(e.b)
	clientv1.SnapshotAddRoomId(e.b, room)
	if name != 0 {
		clientv1.SnapshotAddDisplayName(e.b, name)
	}
	clientv1.SnapshotAddEpoch(e.b, m.Epoch)
	clientv1.SnapshotAddSeq(e.b, m.Seq)
	clientv1.SnapshotAddTick(e.b, m.Tick)
	clientv1.SnapshotAddTickHz(e.b, m.TickHz)
	clientv1.SnapshotAddWidth(e.b, m.Width)
	clientv1.SnapshotAddDepth(e.b, m.Depth)
	clientv1.SnapshotAddMaxSpeed(e.b, m.MaxSpeed)
	clientv1.SnapshotAddSelfEntity(e.b, m.SelfEntity)
	clientv1.SnapshotAddMembers(e.b, members)
	clientv1.SnapshotAddSub(e.b, m.Sub)
	clientv1.SnapshotAddResumed(e.b, m.Resumed)
	clientv1.SnapshotAddGap(e.b, m.Gap)
	clientv1.SnapshotAddViewRadius(e.b, m.ViewRadius)
	return e.finish(rid, clientv1.ServerBodySnapshot, clientv1.SnapshotEnd(e.b))
}

// Roster encodes more of a snapshot's members.
func (e *Encoder) Roster(m Roster) []byte {
	e.b.Reset()
	members := e.members(m.Members)
	clientv1.RosterStart(e.b)
	clientv1.RosterAddMembers(e.b, members)
	clientv1.RosterAddLast(e.b, m.Last)
	return e.finish(0, clientv1.ServerBodyRoster, clientv1.RosterEnd(e.b))
}

func (e *Encoder) members(members []Member) flatbuffers.UOffsetT {
	offsets := make([]flatbuffers.UOffsetT, len(members))
	for i, member := range members {
		offsets[i] = e.member(member)
	}
	return e.offsets(offsets)
}

// offsets makes a vector of tables; those of one schema are all alike.
func (e *Encoder) offsets(offsets []flatbuffers.UOffsetT) flatbuffers.UOffsetT {
	e.b.StartVector(flatbuffers.SizeUOffsetT, len(offsets), flatbuffers.SizeUOffsetT)
	for i := len(offsets) - 1; i >= 0; i-- {
		e.b.PrependUOffsetT(offsets[i])
	}
	return e.b.EndVector(len(offsets))
}

// StateBatch encodes a state batch. It allocates nothing once its buffer has grown.
func (e *Encoder) StateBatch(m StateBatch) []byte {
	e.batch = statebatch.Append(e.batch[:0], &m)
	return e.batch
}

// Correction encodes that the server moved the receiver's entity back.
func (e *Encoder) Correction(s EntityState) []byte {
	e.b.Reset()
	clientv1.CorrectionStart(e.b)
	clientv1.CorrectionAddState(e.b, e.state(s))
	return e.finish(0, clientv1.ServerBodyCorrection, clientv1.CorrectionEnd(e.b))
}

// RoomLeft encodes that the room ended for the receiver, and why.
func (e *Encoder) RoomLeft(roomID, reason string) []byte {
	e.b.Reset()
	room, why := e.b.CreateString(roomID), e.b.CreateString(reason)
	clientv1.RoomLeftStart(e.b)
	clientv1.RoomLeftAddRoomId(e.b, room)
	clientv1.RoomLeftAddReason(e.b, why)
	return e.finish(0, clientv1.ServerBodyRoomLeft, clientv1.RoomLeftEnd(e.b))
}

// CallResult encodes the response of a call: Protobuf in the FlatBuffers dialect.
func (e *Encoder) CallResult(rid uint32, payload []byte) []byte {
	e.b.Reset()
	data := e.b.CreateByteVector(payload)
	clientv1.CallResultStart(e.b)
	clientv1.CallResultAddPayload(e.b, data)
	return e.finish(rid, clientv1.ServerBodyCallResult, clientv1.CallResultEnd(e.b))
}

// Pong encodes the answer to a ping. Times are Unix milliseconds.
func (e *Encoder) Pong(rid uint32, clientTimeMS, serverTimeMS uint64) []byte {
	e.b.Reset()
	clientv1.PongStart(e.b)
	clientv1.PongAddClientTimeMs(e.b, clientTimeMS)
	clientv1.PongAddServerTimeMs(e.b, serverTimeMS)
	return e.finish(rid, clientv1.ServerBodyPong, clientv1.PongEnd(e.b))
}
