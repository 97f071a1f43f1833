package roomsim

import (
	"context"
	"errors"
	"fmt"
	"time"

	flatbuffers "github.com/google/flatbuffers/go"
	clientv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/client/v1"
	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
	"github.com/worldmesh/worldmesh/go_services/relay/room"
	"github.com/worldmesh/worldmesh/go_services/relay/store"
)

const (
	roomID  = "room"
	refusal = "refused"
)

// relay is a relay with at most one room, as relay/live_room.go and hub.go drive it.
type relay struct {
	world       *World
	index       int
	incarnation int
	alive       bool
	paused      bool
	incoming    []*stream // that it has not looked at yet

	core      *room.Room
	owner     store.Owner
	streams   map[uint64]*stream
	order     []uint64 // of the streams
	unwritten []*room.Entry
	writing   *write
	wantEra   uint64
	frozen    bool // gives the room away when its log is written
}

// write is an append on its way: asked, done by the store, and then learned of.
type write struct {
	entries []*room.Entry
	owner   store.Owner
	done    bool
	err     error
}

func (r *relay) me() store.Owner {
	return store.Owner{Relay: fmt.Sprint(r.index), Incarnation: fmt.Sprint(r.incarnation), Address: fmt.Sprint(r.index)}
}

func (r *relay) answers() bool { return r.alive && !r.paused }

func (r *relay) actions() []action {
	if !r.alive {
		return []action{{fmt.Sprintf("relay %d starts again", r.index), func() { r.alive = true }}}
	}
	var all []action
	if r.writing != nil && !r.writing.done { // it is on its way, also if the relay is paused
		all = append(all, action{fmt.Sprintf("the store writes for relay %d", r.index), func() { r.writing.arrive(r.world) }})
	}
	if r.paused {
		return append(all, action{fmt.Sprintf("relay %d goes on", r.index), func() { r.paused = false }})
	}
	if len(r.incoming) > 0 {
		all = append(all, action{fmt.Sprintf("relay %d takes a stream", r.index), r.accept})
	}
	for _, id := range r.order {
		s := r.streams[id]
		if s.dropped {
			all = append(all, action{fmt.Sprintf("relay %d learns that stream %d is over", r.index, id), func() { r.drop(s) }})
		} else if len(s.up) > 0 && !r.frozen {
			all = append(all, action{fmt.Sprintf("relay %d takes inputs of stream %d", r.index, id), func() { r.take(s) }})
		}
	}
	switch {
	case r.writing != nil && r.writing.done:
		all = append(all, action{fmt.Sprintf("relay %d learns what the store did", r.index), r.learn})
	case r.writing == nil && r.wantEra != 0:
		all = append(all, action{fmt.Sprintf("relay %d claims the room again", r.index), r.claimAgain})
	case r.writing == nil && len(r.unwritten) > 0:
		all = append(all, action{fmt.Sprintf("relay %d writes", r.index), r.write})
	case r.core != nil && r.writing == nil && r.ownerInStore().Epoch != r.owner.Epoch:
		all = append(all, action{fmt.Sprintf("relay %d looks after its room", r.index), r.lookAfter})
	case r.frozen:
		all = append(all, action{fmt.Sprintf("relay %d gives the room away", r.index), r.giveAway})
	}
	return all
}

func (r *relay) faultActions() []action {
	var all []action
	if !r.alive || r.paused {
		return nil
	}
	if r.world.faults.Crashes > 0 {
		all = append(all, action{fmt.Sprintf("relay %d crashes", r.index), r.crash})
	}
	if r.world.faults.Pauses > 0 && r.core != nil {
		all = append(all, action{fmt.Sprintf("relay %d is paused", r.index), r.pause})
	}
	if r.world.faults.Moves > 0 && r.core != nil && !r.frozen {
		all = append(all, action{fmt.Sprintf("relay %d is to give the room away", r.index), func() {
			r.world.faults.Moves--
			r.frozen = true
			if r.world.setup.Broken == ReleaseBeforeLog {
				r.giveAway()
			}
		}})
	}
	return all
}

func (r *relay) crash() {
	r.world.faults.Crashes--
	r.alive = false
	r.incarnation++
	for _, s := range append(r.incoming, r.all()...) {
		s.ended, s.up, s.down = true, nil, nil
	}
	r.incoming = nil
	if r.writing != nil && !r.writing.done { // it may still arrive
		r.world.late = append(r.world.late, r.writing)
	}
	r.forget()
}

// pause is what a stopped process does: the proxy closes its streams, and it knows nothing of that.
func (r *relay) pause() {
	r.world.faults.Pauses--
	r.paused = true
	for _, s := range append(r.incoming, r.all()...) {
		s.ended = true
	}
}

func (r *relay) all() []*stream {
	streams := make([]*stream, 0, len(r.order))
	for _, id := range r.order {
		streams = append(streams, r.streams[id])
	}
	return streams
}

func (r *relay) forget() {
	r.core, r.streams, r.order, r.unwritten, r.writing, r.wantEra, r.frozen = nil, nil, nil, nil, nil, 0, false
}

// accept takes a new stream: claims the room if need be, or says where it is.
func (r *relay) accept() {
	s := r.incoming[0]
	r.incoming = r.incoming[1:]
	if s.dropped || len(s.up) == 0 {
		s.ended = true
		return
	}
	open := s.up[0].GetOpen()
	s.up = s.up[1:]
	if r.frozen {
		s.ended = true // the gateway tries again
		return
	}
	if r.core == nil {
		owner, ok := r.claim()
		if !ok {
			r.moved(s, owner)
			return
		}
	}
	r.streams[s.id] = s
	r.order = append(r.order, s.id)
	s.down = append(s.down, &roomv1.AttachResponse{Body: &roomv1.AttachResponse_Opened_{
		Opened: &roomv1.AttachResponse_Opened{Epoch: r.owner.Epoch},
	}})
	var seen *frames.LogPosition
	if p := open.GetSeen(); p != nil {
		seen = &frames.LogPosition{Epoch: p.GetEpoch(), Seq: p.GetSeq(), Sub: p.GetSub()}
	}
	var rejoins []room.Rejoin
	for _, rejoin := range open.GetRejoins() {
		rejoins = append(rejoins, room.Rejoin{Link: rejoin.GetLink(), Join: joinOf(rejoin.GetJoin())})
	}
	r.core.Attached(s.id, seen, rejoins)
	r.changed()
}

func (r *relay) ownerInStore() store.Owner {
	owners, _ := r.world.store.Owners(context.Background(), []string{roomID})
	return owners[0]
}

// lookAfter is what a relay does from time to time: it may have been robbed, or forgotten.
func (r *relay) lookAfter() {
	if owner := r.ownerInStore(); owner.Epoch > r.owner.Epoch {
		r.lose(owner)
		return
	}
	r.world.era++
	r.wantEra = r.world.era
}

func (r *relay) moved(s *stream, owner store.Owner) {
	s.down = append(s.down, &roomv1.AttachResponse{Body: &roomv1.AttachResponse_Moved_{
		Moved: &roomv1.AttachResponse_Moved{RelayAddress: owner.Address, Epoch: owner.Epoch},
	}})
	s.ended = true
}

func (r *relay) claim() (store.Owner, bool) {
	q := store.ClaimRequest{Room: roomID, Owner: r.me(), Era: r.world.era}
	var claim store.Claim
	for {
		r.world.write(func() { claim, _ = r.world.store.Claim(context.Background(), q) })
		if claim.Granted {
			break
		}
		var owner int
		_, _ = fmt.Sscan(claim.Owner.Relay, &owner)
		other := r.world.relays[owner]
		alive := other.answers() && other.me().Incarnation == claim.Owner.Incarnation
		if alive && r.world.setup.Broken != StealFromTheAlive {
			return claim.Owner, false
		}
		q.StealAfter = claim.Owner.Epoch
	}
	r.forget()
	r.owner, r.streams = claim.Owner, map[uint64]*stream{}
	past := claim.Past()
	switch r.world.setup.Broken {
	case LoseTail:
		past.Tail = nil
	case SeqFromZero:
		past.Last = frames.LogPosition{}
	case NoDedupe:
		for i := range past.Tail {
			past.Tail[i].Key = ""
		}
	}
	cfg := room.Config{Capacity: 50, Width: 40, Depth: 40, TickHz: 20, MaxSpeed: 8, Hold: time.Minute, Grid: room.DefaultGrid()}
	r.core = room.New(roomID, cfg, sink{r}, r.world.now, past)
	return r.owner, true
}

func joinOf(j *roomv1.Input_Join) room.Join {
	join := room.Join{
		User:    frames.User{ID: j.GetUser().GetUserId(), Username: j.GetUser().GetUsername()},
		Session: j.GetGatewaySessionId(),
	}
	if p := j.GetResume(); p != nil {
		join.Resume = &frames.LogPosition{Epoch: p.GetEpoch(), Seq: p.GetSeq(), Sub: p.GetSub()}
	}
	return join
}

// take plays the oldest message of a stream.
func (r *relay) take(s *stream) {
	inputs := s.up[0].GetInputs().GetInputs()
	s.up = s.up[1:]
	for _, message := range inputs {
		link, in := room.Link{Stream: s.id, ID: message.GetLink()}, room.In{RID: message.GetRid(), Number: message.GetNumber()}
		switch body := message.GetBody().(type) {
		case *roomv1.Input_Join_:
			r.core.Join(r.world.now, link, in, joinOf(body.Join))
		case *roomv1.Input_Chat_:
			r.core.Chat(r.world.now, link, in, body.Chat.GetText(), body.Chat.GetClientMessageId())
			if r.world.setup.Broken == AckBeforeLog {
				sink{r}.Done(link, in)
			}
		}
	}
	r.changed()
}

func (r *relay) drop(s *stream) {
	delete(r.streams, s.id)
	r.order = without(r.order, s.id)
	r.core.StreamEnded(r.world.now, s.id)
	r.changed()
}

func without(ids []uint64, id uint64) []uint64 {
	var rest []uint64
	for _, other := range ids {
		if other != id {
			rest = append(rest, other)
		}
	}
	return rest
}

// changed gathers what is to be written.
func (r *relay) changed() {
	entries := r.core.TakeUnlogged()
	r.unwritten = append(r.unwritten, entries...)
	if r.world.setup.Broken == DeliverBeforeLog {
		r.core.Logged(len(entries))
	}
}

func (r *relay) write() { r.writing = &write{entries: r.unwritten, owner: r.owner} }

// arrive is the store's part of a write.
func (w *write) arrive(world *World) {
	w.done = true
	world.write(func() {
		owner := w.owner
		if b := world.setup.Broken; b == NoFence || b == StealFromTheAlive {
			owners, _ := world.store.Owners(context.Background(), []string{roomID})
			owner = owners[0]
		}
		w.err = world.store.Append(context.Background(), roomID, owner, w.entries)
	})
}

func (r *relay) learn() {
	w := r.writing
	r.writing = nil
	switch {
	case w.err == nil:
		r.unwritten = r.unwritten[len(w.entries):]
		if r.world.setup.Broken != DeliverBeforeLog {
			r.core.Logged(len(w.entries))
		}
		r.changed()
	case errors.Is(w.err, store.ErrForgotten):
		r.world.era++
		r.wantEra = r.world.era
	case r.world.setup.Broken == KeepAfterFence:
		r.unwritten = r.unwritten[len(w.entries):]
		r.core.Logged(len(w.entries))
		r.changed()
	default:
		r.lose(store.Owner{})
	}
}

// claimAgain takes the room in a newer era, and logs again what the store has forgotten.
func (r *relay) claimAgain() {
	q := store.ClaimRequest{Room: roomID, Owner: r.owner, Held: r.owner.Epoch, Era: r.wantEra}
	if r.world.setup.Broken != NoRelog {
		q.Past = r.core.Past()
	}
	r.wantEra = 0
	var claim store.Claim
	r.world.write(func() { claim, _ = r.world.store.Claim(context.Background(), q) })
	if !claim.Granted {
		r.lose(claim.Owner)
		return
	}
	r.owner = claim.Owner
	r.core.Reclaimed(r.owner.Epoch)
}

// lose ends a room that is not this relay's any more.
func (r *relay) lose(owner store.Owner) {
	for _, s := range r.all() {
		if !s.ended {
			r.moved(s, owner)
		}
	}
	r.forget()
}

func (r *relay) giveAway() {
	var err error
	r.world.write(func() { err = r.world.store.Release(context.Background(), roomID, r.owner, r.core.Position()) })
	if errors.Is(err, store.ErrForgotten) {
		r.world.era++
		r.wantEra = r.world.era
		return
	}
	r.lose(store.Owner{Address: fmt.Sprint((r.index + 1) % len(r.world.relays))})
}

// sink makes deliveries of what comes out of the room, as relay/sink.go does; a frame is what was said.
type sink struct{ relay *relay }

var _ room.Sink = sink{}

func (s sink) push(stream uint64, d *roomv1.Delivery) {
	if to := s.relay.streams[stream]; to != nil && !to.ended && !to.dropped {
		to.down = append(to.down, &roomv1.AttachResponse{Body: &roomv1.AttachResponse_Deliveries_{
			Deliveries: &roomv1.AttachResponse_Deliveries{Deliveries: []*roomv1.Delivery{d}},
		}})
	}
}

func (s sink) to(link room.Link, in room.In, d *roomv1.Delivery) {
	d.Links, d.Answered = []uint32{link.ID}, in.Number
	s.push(link.Stream, d)
}

func position(p frames.LogPosition) *roomv1.LogPosition {
	return &roomv1.LogPosition{Epoch: p.Epoch, Seq: p.Seq, Sub: p.Sub}
}

func flag(b bool) byte {
	if b {
		return '1'
	}
	return '0'
}

func (s sink) Joined(to room.Link, in room.In, snap frames.Snapshot) {
	s.to(to, in, &roomv1.Delivery{
		Frame: []byte{flag(snap.Resumed), flag(snap.Gap)}, Position: position(snap.LogPosition),
		Membership: &roomv1.Membership{
			Link: to.ID, Outcome: &roomv1.Membership_JoinedEntity{JoinedEntity: snap.SelfEntity},
		},
	})
}

func (s sink) Refused(to room.Link, in room.In, reason commonv1.ErrorReason, _ string) {
	s.to(to, in, &roomv1.Delivery{
		Membership: &roomv1.Membership{Link: to.ID, Outcome: &roomv1.Membership_Refused{Refused: reason}},
	})
}

func (s sink) Removed(to room.Link, in room.In, reason commonv1.ErrorReason) {
	s.to(to, in, &roomv1.Delivery{
		Membership: &roomv1.Membership{Link: to.ID, Outcome: &roomv1.Membership_Removed{Removed: reason}},
	})
}

func event(e *room.Entry) *roomv1.Delivery {
	return &roomv1.Delivery{Frame: []byte(textOf(e)), Position: position(e.LogPosition)}
}

// textOf is what was said, or a mark of the event.
func textOf(e *room.Entry) string {
	var body, table flatbuffers.Table
	clientv1.GetRootAsServerFrame(e.Frame, 0).Body(&body)
	var event clientv1.RoomEvent
	event.Init(body.Bytes, body.Pos)
	if event.BodyType() != clientv1.EventBodyChatMessage || !event.Body(&table) {
		return fmt.Sprintf("%s %d", event.BodyType(), e.Seq)
	}
	var chat clientv1.ChatMessage
	chat.Init(table.Bytes, table.Pos)
	return string(chat.Text())
}

func (s sink) Event(e *room.Entry) {
	for _, id := range s.relay.order {
		s.push(id, event(e))
	}
}

func (s sink) Again(e *room.Entry, stream uint64) { s.push(stream, event(e)) }

func (s sink) Told(e *room.Entry, to room.Link) {
	if s.relay.world.setup.Broken != DropResumeReplay {
		s.to(to, room.In{}, event(e))
	}
}

func (s sink) Done(to room.Link, in room.In) { s.to(to, in, &roomv1.Delivery{}) }

func (s sink) Failed(to room.Link, in room.In, reason commonv1.ErrorReason, _ string) {
	if !s.relay.world.lossy() {
		s.relay.world.fail("an input of link %v was refused: %s", to, reason)
	}
	s.to(to, in, &roomv1.Delivery{Frame: []byte(refusal)})
}

func (s sink) Corrected(room.Link, frames.EntityState)  {}
func (s sink) State(frames.StateBatch)                  {}
func (s sink) View(uint64, []uint32, frames.StateBatch) {}
func (s sink) Roster(uint64, []uint32, frames.Roster)   {}
func (s sink) Behind(uint64) bool                       { return false }
