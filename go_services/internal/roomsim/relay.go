package roomsim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
	real "github.com/worldmesh/worldmesh/go_services/relay"
	"github.com/worldmesh/worldmesh/go_services/relay/room"
	"github.com/worldmesh/worldmesh/go_services/relay/store"
)

// relay is a relay with at most one room, as relay/live_room.go, hub.go and tenure.go drive it.
type relay struct {
	world       *World
	index       int
	incarnation int
	alive       bool
	paused      bool
	incoming    []*stream // that it has not looked at yet
	era         uint64
	switches    int       // of the store's servers that it knows of
	renewed     time.Time // its lease
	swept       time.Time

	// asks is the owner of the room that it is claiming, who is to be asked whether it lives; steals is the epoch of one that
	// does not answer. What others do comes in between.
	asks   *store.Owner
	steals uint64

	live      *real.Driven
	core      *room.Room // of live
	owner     store.Owner
	streams   map[uint64]*stream
	order     []uint64 // of the streams
	lastID    uint64   // of a stream
	unwritten []*room.Entry
	writing   *write
	wantEra   uint64
	tellsLost bool // whose connections are lost is written, also if nothing else is
	frozen    bool // gives the room away when its log is written
	goesTo    int  // the relay that it gives the room to, or -1
	tried     bool // to give it away, and the store had forgotten something
}

// write is an append, or a claim again, on its way: asked, done by the store, and then learned of.
type write struct {
	entries []*room.Entry
	lost    []room.Lost
	asked   time.Time
	last    bool // of a relay that gives the room away
	owner   store.Owner
	again   *store.ClaimRequest // nil: it is an append
	claim   store.Claim
	done    bool
	err     error
}

func (r *relay) me() store.Owner {
	return store.Owner{Relay: fmt.Sprint(r.index), Incarnation: fmt.Sprint(r.incarnation), Address: fmt.Sprint(r.index)}
}

func (r *relay) answers() bool { return r.alive && !r.paused }

// unnoticed is how many streams of a gateway are over without this relay knowing it. A gateway waits longer after each
// attempt: it does not come back again and again before the relay notices even one.
func (r *relay) unnoticed(g *gateway) (n int) {
	for _, s := range append(r.all(), r.incoming...) {
		if s.gateway == g && s.dropped {
			n++
		}
	}
	return n
}

func (r *relay) action(what string, do func()) action {
	return action{fmt.Sprintf("relay %d %s", r.index, what), do}
}

func (r *relay) actions() []action {
	if !r.alive {
		if r.world.store.down {
			return nil
		}
		return []action{r.action("starts again", r.begin)}
	}
	var all []action
	if r.writing != nil && !r.writing.done { // it is on its way, also if the relay is paused
		all = append(all, action{fmt.Sprintf("the store writes for relay %d", r.index), func() { r.writing.arrive(r.world) }})
	}
	if r.paused {
		return append(all, r.action("goes on", r.goOn))
	}
	switch {
	case r.asks != nil:
		all = append(all, r.action(fmt.Sprintf("asks relay %s whether it lives", r.asks.Relay), r.ask))
	case r.steals != 0:
		if r.settled() {
			all = append(all, r.action("takes the room from who does not live", func() { r.claim(r.steals) }))
		}
	default:
		for i := range r.incoming { // those of a gateway come in any order
			if !r.claims(r.incoming[i]) || !r.valid() || r.settled() {
				all = append(all, r.action(fmt.Sprintf("takes the %d. of the streams that wait", i+1), func() { r.accept(i) }))
			}
		}
	}
	for _, s := range r.all() {
		if s.dropped {
			all = append(all, r.action(fmt.Sprintf("learns that stream %d is over", s.id), func() { r.drop(s) }))
		} else if len(s.up) > 0 && !r.frozen {
			all = append(all, r.action(fmt.Sprintf("takes inputs of stream %d", s.id), func() { r.take(s) }))
		}
	}
	if r.core != nil && r.swept != r.world.now {
		all = append(all, r.action("looks at its holds and its lease", r.sweep))
	}
	if r.world.walks && r.core != nil && r.core.Dirty() && !r.frozen {
		all = append(all, r.action("ticks", r.tick))
	}
	switch {
	case r.world.store.down || r.world.setup.Broken == IgnoreFailOver:
	case r.switches != r.world.store.switches:
		all = append(all, r.action("renews its lease at another server", r.renew))
	case r.era < r.world.era && slices.ContainsFunc(r.world.relays, (*relay).wants):
		all = append(all, r.action("renews its lease, for which others wait", r.renew))
	}
	return append(all, r.writes()...)
}

// writes is what it does to the store next.
func (r *relay) writes() []action {
	switch {
	case r.core == nil:
		return nil
	case r.writing != nil && r.writing.done:
		return []action{r.action("learns what the store did", r.learn)}
	case r.writing != nil:
		return nil
	case r.wantEra != 0:
		return []action{r.action("claims the room again", func() { r.writing = r.claimAgain() })}
	case len(r.unwritten) > 0 || r.tellsLost:
		return []action{r.action("writes", func() { r.writing = r.nextWrite() })}
	case r.robbed() || r.forgotten():
		return []action{r.action("looks after its room", r.lookAfter)}
	case r.frozen:
		return []action{r.action("gives the room away", r.giveAway)}
	}
	return nil
}

func (r *relay) faultActions() []action {
	var all []action
	if !r.alive || r.paused {
		return nil
	}
	f := &r.world.faults
	if f.Crashes > 0 {
		all = append(all, r.action("crashes", r.crash))
	}
	if f.Pauses > 0 && r.core != nil {
		all = append(all, r.action("is paused", r.pause))
	}
	if f.Moves > 0 && r.core != nil && !r.frozen {
		all = append(all, r.action("is to give the room away", func() {
			f.Moves--
			r.frozen, r.goesTo, r.tellsLost = true, (r.index+1)%len(r.world.relays), r.core.Len() > 0
			if r.world.setup.Broken == ReleaseBeforeLog {
				r.giveAway()
			}
		}))
	}
	if f.Stalls > 0 && r.core != nil && r.writing != nil && r.core.LogWorks() {
		all = append(all, r.action("finds the log slow", func() {
			f.Stalls--
			r.core.SetLog(false)
		}))
	}
	if f.Stalls > 0 && r.frozen && (r.writing != nil || len(r.unwritten) > 0) {
		all = append(all, r.action("waits no longer for the log", func() {
			f.Stalls--
			r.lose(r.destination())
		}))
	}
	return all
}

func (r *relay) begin() {
	r.alive = true
	r.era = 0
	r.renew()
}

func (r *relay) goOn() {
	r.paused = false
	if !r.world.store.down {
		r.renewed = r.world.now
	}
}

func (r *relay) crash() {
	r.world.faults.Crashes--
	r.alive = false
	r.incarnation++
	for _, s := range append(r.incoming, r.all()...) {
		s.ended, s.up, s.down = true, nil, nil
	}
	r.incoming = nil
	r.forget()
}

// pause is what a stopped process does: the proxy closes its streams, and it knows nothing of that.
func (r *relay) pause() {
	r.world.faults.Pauses--
	r.paused = true
	for _, s := range append(slices.Clone(r.incoming), r.all()...) {
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

// forget ends the room here. A write that is on its way may still arrive.
func (r *relay) forget() {
	if r.writing != nil && !r.writing.done {
		r.world.late = append(r.world.late, r.writing)
	}
	r.live, r.core, r.streams, r.order, r.unwritten, r.writing = nil, nil, nil, nil, nil, nil
	r.lastID, r.wantEra, r.tellsLost, r.frozen, r.tried = 0, 0, false, false, false
	r.asks, r.steals = nil, 0
}

// renew is tenure.renew, at a server that may have forgotten something.
func (r *relay) renew() {
	renewal, _ := r.world.store.Renew(context.Background(), store.Relay{ID: fmt.Sprint(r.index)}, time.Hour)
	r.switches, r.renewed = r.world.store.switches, r.world.now
	r.follow(renewal, r.era)
	r.want()
}

// follow is tenure.follow, and moves the era on where that can not.
func (r *relay) follow(renewal store.Renewal, least uint64) {
	if renewal.Era >= least && renewal.EraReplicationID == renewal.ReplicationID {
		r.era = renewal.Era
	} else {
		r.advance(renewal.ReplicationID)
	}
}

// advance is tenure.advance: who moves the era on tells the store in the same step.
func (r *relay) advance(replicationID string) {
	r.world.era++
	r.era = max(r.era, r.world.era)
	_ = r.world.store.SetEra(context.Background(), r.world.era, replicationID, false)
}

// moveOn is tenure.forgotten: the store does not know what was written in the room's era.
func (r *relay) moveOn() {
	if era := r.owner.Epoch / store.EpochsPerEra; r.era <= era {
		renewal, _ := r.world.store.Renew(context.Background(), store.Relay{ID: fmt.Sprint(r.index)}, time.Hour)
		r.follow(renewal, era+1)
	}
	r.want()
}

// want has the room claimed again, if it is not of the era already.
func (r *relay) want() {
	if r.core != nil && r.era > r.owner.Epoch/store.EpochsPerEra {
		r.wantEra = r.era
	}
}

// accept takes a new stream, or claims the room first, or says where it is. The gateway may have given it up meanwhile: that
// is learned later.
func (r *relay) accept(i int) {
	s := r.incoming[i]
	if r.claims(s) {
		r.claim(0)
		return
	}
	r.incoming = slices.Delete(slices.Clone(r.incoming), i, i+1)
	if len(s.up) == 0 {
		s.ended = true
		return
	}
	open := s.up[0].GetOpen()
	s.up = s.up[1:]
	if r.frozen {
		s.ended = true // the gateway tries again
		return
	}
	for _, other := range r.all() {
		if other.gateway == s.gateway {
			other.ended = true
		}
	}
	r.lastID++
	s.id = r.lastID
	r.streams[s.id] = s
	r.order = append(r.order, s.id)
	s.down = append(s.down, &roomv1.AttachResponse{Body: &roomv1.AttachResponse_Opened_{
		Opened: &roomv1.AttachResponse_Opened{
			Epoch: r.owner.Epoch, Incarnation: r.owner.Relay + "/" + r.owner.Incarnation,
		},
	}})
	r.live.Attach(s.id, open)
	r.changed()
}

// robbed says whether the store knows of a newer owner.
func (r *relay) robbed() bool {
	owner := r.world.store.owners().Owner
	return owner.Epoch > r.owner.Epoch && !sameStart(owner, r.owner)
}

// forgotten says whether the store knows less than this relay.
func (r *relay) forgotten() bool {
	now := r.world.store.owners()
	switch {
	case r.world.setup.Broken == IgnoreFailOver, now.Owner.Epoch > r.owner.Epoch:
		return false
	case now.Owner.Epoch < r.owner.Epoch:
		return true
	}
	return now.Owner.Relay != "" && !sameStart(now.Owner, r.owner) || before(now.Last, r.core.Position())
}

// lookAfter is hub.checkOwners.
func (r *relay) lookAfter() {
	switch {
	case r.world.store.down:
		return
	case r.robbed():
		r.lose(r.world.store.owners().Owner)
	default:
		r.moveOn()
	}
}

// sweep is hub.sweep.
func (r *relay) sweep() {
	now := r.world.now
	r.swept = now
	if !r.valid() {
		r.lose(store.Owner{})
		return
	}
	switch r.world.setup.Broken {
	case HoldNeverEnds:
	case HoldEndsAtOnce:
		r.core.Time(now.Add(hold))
	default:
		r.core.Time(now)
	}
	r.tellsLost = r.tellsLost || len(r.core.LostNews()) > 0
	r.changed()
	if len(r.order) == 0 && r.core.Len() == 0 && r.core.Waiting() == 0 && !r.frozen {
		r.frozen, r.goesTo = true, -1
	}
}

func (r *relay) moved(s *stream, owner store.Owner) {
	s.down = append(s.down, &roomv1.AttachResponse{Body: &roomv1.AttachResponse_Moved_{
		Moved: &roomv1.AttachResponse_Moved{RelayAddress: owner.Address, Epoch: owner.Epoch},
	}})
	s.ended = true
}

// claim is a step of tenure.claim: takes the room, or learns who is to be asked. The streams that want the room wait.
func (r *relay) claim(steal uint64) {
	r.steals = 0
	if steal == 0 && !r.valid() { // hub.open looks at that, and nobody between the question and the theft
		r.turnAway(r.elsewhere())
		return
	}
	claim, err := r.world.store.claim(store.ClaimRequest{Room: roomID, Owner: r.me(), Era: r.era, StealAfter: steal})
	switch {
	case err != nil:
		r.turnAway(store.Owner{}, err)
	case claim.Granted:
		r.goLive(claim)
	default:
		r.asks = &claim.Owner
	}
}

// settled is tenure.settled: all who answer have renewed their leases since the store has last forgotten something, and nobody
// else has the room and has not told of it again. Here nothing comes between that and the claim.
func (r *relay) settled() bool {
	if b := r.world.setup.Broken; b == TakeUntold || b == IgnoreFailOver {
		return true
	}
	for _, other := range r.world.relays {
		renewed := other.switches == r.world.store.switches
		behind := other != r && other.core != nil && other.owner.Epoch/store.EpochsPerEra < r.era
		if other.answers() && (!renewed || behind) {
			return false
		}
	}
	return true
}

// claims says whether the room must be claimed for a stream.
func (r *relay) claims(s *stream) bool { return r.core == nil && len(s.up) > 0 }

// wants says whether it has to claim the room.
func (r *relay) wants() bool { return r.steals != 0 || slices.ContainsFunc(r.incoming, r.claims) }

// ask is the step in between: an owner that lives keeps the room.
func (r *relay) ask() {
	owner, index := *r.asks, 0
	r.asks = nil
	_, _ = fmt.Sscan(owner.Relay, &index)
	other := r.world.relays[index]
	alive := other.answers() && other.valid() && other.me().Incarnation == owner.Incarnation
	if alive && r.world.setup.Broken != StealFromTheAlive {
		r.turnAway(owner, nil)
	} else {
		r.steals = owner.Epoch
	}
}

// turnAway sends all streams that wait to the relay that has the room; or ends them, and their gateways try again.
func (r *relay) turnAway(owner store.Owner, err error) {
	for _, s := range r.incoming {
		if s.up = nil; err != nil {
			s.ended = true
		} else {
			r.moved(s, owner)
		}
	}
	r.incoming = nil
}

// valid says whether it may own rooms, as tenure.valid does.
func (r *relay) valid() bool { return r.world.now.Sub(r.renewed) < validFor }

// elsewhere is tenure.elsewhere.
func (r *relay) elsewhere() (store.Owner, error) {
	for _, other := range r.world.relays {
		if other != r && other.answers() && other.valid() {
			return store.Owner{Relay: other.me().Relay, Address: other.me().Address}, nil
		}
	}
	return store.Owner{}, errStore
}

func (r *relay) goLive(claim store.Claim) {
	r.forget()
	r.owner, r.streams, r.swept = claim.Owner, map[uint64]*stream{}, r.world.now
	past := claim.Past()
	switch r.world.setup.Broken {
	case LoseTail:
		past.Tail = nil
	case SeqFromZero:
		past.Last.Seq, past.Last.Sub = 0, 0
	case NoDedupe:
		for i := range past.Tail {
			past.Tail[i].Key = ""
		}
	}
	capacity := r.world.setup.Capacity
	if capacity == 0 {
		capacity = 2*len(r.world.clients) + 1
	}
	cfg := room.Config{Capacity: capacity, Width: 40, Depth: 40, TickHz: 20, MaxSpeed: 8, Hold: hold, Grid: room.DefaultGrid()}
	r.live = real.NewDriven(roomID, cfg, r.world.now, past, func(s room.Sink) room.Sink {
		if r.world.setup.Broken == NoBug {
			return s
		}
		return &spoiled{Sink: s, relay: r}
	})
	r.core = r.live.Core()
}

// take plays the oldest message of a stream.
func (r *relay) take(s *stream) {
	batch := s.up[0].GetInputs()
	s.up = s.up[1:]
	if r.world.setup.Broken == StepsLast {
		for i := range batch.GetStepsBefore() {
			batch.StepsBefore[i] = 0
		}
		if len(batch.GetStepsBefore()) == 0 && batch.GetSteps() != nil {
			batch.StepsBefore = make([]uint32, len(batch.GetInputs()))
		}
	}
	err := r.live.Play(r.world.now, s.id, batch, func(link uint32, to frames.Vec3) { r.stepped(s, link, to) }, func(in *roomv1.Input) *roomv1.Input { return r.spoil(s, in) })
	if err != nil {
		r.world.fail("relay %d is sent what no gateway should send: %v", r.index, err)
	}
	r.changed()
}

func (r *relay) tick() {
	r.core.Tick()
	r.changed()
}

func (r *relay) drop(s *stream) {
	delete(r.streams, s.id)
	r.order = slices.DeleteFunc(r.order, func(id uint64) bool { return id == s.id })
	r.live.Detach(r.world.now, s.id)
	r.changed()
}

// changed gathers what is to be written, and sends what comes out.
func (r *relay) changed() {
	entries := r.core.TakeUnlogged()
	r.unwritten = append(r.unwritten, entries...)
	if r.world.setup.Broken == DeliverBeforeLog {
		r.core.Logged(len(entries))
	}
	for _, s := range r.all() {
		for _, d := range r.live.Take(s.id) {
			if !s.ended && !s.dropped {
				s.down = append(s.down, &roomv1.AttachResponse{Body: &roomv1.AttachResponse_Deliveries_{
					Deliveries: &roomv1.AttachResponse_Deliveries{Deliveries: []*roomv1.Delivery{d}},
				}})
			}
		}
	}
}

// arrive is the store's part of a write.
func (w *write) arrive(world *World) {
	w.done = true
	if w.again != nil {
		w.claim, w.err = world.store.claim(*w.again)
		return
	}
	owner := w.owner
	if b := world.setup.Broken; b == NoFence || b == StealFromTheAlive {
		owner = world.store.owners().Owner
	}
	lost := make([]store.Lost, len(w.lost))
	for i, l := range w.lost {
		lost[i] = store.Lost{Entity: l.Entity, For: w.asked.Sub(l.Since), Back: l.Since.IsZero()}
	}
	w.err = world.store.append(owner, w.entries, lost)
}

// nextWrite is liveRoom.next.
func (r *relay) nextWrite() *write {
	w := &write{entries: r.unwritten, owner: r.owner, lost: r.core.LostNews(), asked: r.world.now, last: r.frozen}
	if w.last {
		w.lost = r.core.LostToAll(r.world.now)
	}
	return w
}

// learn is the rest of liveRoom.writer.
func (r *relay) learn() {
	w := r.writing
	r.writing = nil
	if w.again != nil {
		r.claimedAgain(w)
		return
	}
	broken := r.world.setup.Broken
	switch {
	case w.err == nil, broken == TrustFailedWrite && errors.Is(w.err, errStore),
		broken == KeepAfterFence && errors.Is(w.err, store.ErrFenced):
		r.core.SetLog(true)
		r.unwritten = r.unwritten[len(w.entries):]
		r.tellsLost = r.frozen && !w.last
		r.core.LostTold(w.lost)
		if broken != DeliverBeforeLog {
			r.core.Logged(len(w.entries))
		}
		r.changed()
	case errors.Is(w.err, store.ErrForgotten) && !r.world.store.down:
		r.moveOn()
	case errors.Is(w.err, store.ErrFenced):
		r.lose(store.Owner{})
	default: // it is tried again
		r.core.SetLog(false)
	}
}

// claimAgain wants the room in a newer era, and has the store learn again what it has forgotten.
func (r *relay) claimAgain() *write {
	q := store.ClaimRequest{Room: roomID, Owner: r.owner, Held: r.owner.Epoch, Era: r.wantEra, Past: r.core.Past()}
	switch r.world.setup.Broken {
	case NoRelog:
		q.Past = room.Past{}
	case ReclaimUnfenced:
		q.Held = max(q.Held, r.world.store.owners().Owner.Epoch+1)
	}
	return &write{owner: r.owner, again: &q}
}

func (r *relay) claimedAgain(w *write) {
	switch {
	case w.err != nil:
		r.core.SetLog(false)
	case !w.claim.Granted:
		r.lose(w.claim.Owner)
	default:
		if r.wantEra <= w.again.Era {
			r.wantEra = 0
		}
		r.owner = w.claim.Owner
		r.core.Reclaimed(r.owner.Epoch)
		r.core.SetLog(true)
	}
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

// giveAway is the end of liveRoom.giveAway.
func (r *relay) giveAway() {
	err := r.world.store.release(r.owner, r.core)
	if errors.Is(err, store.ErrForgotten) && !r.tried && !r.world.store.down {
		r.tried = true
		r.moveOn()
		return
	}
	r.lose(r.destination())
}

func (r *relay) destination() store.Owner {
	if r.goesTo < 0 {
		return store.Owner{}
	}
	return store.Owner{Address: fmt.Sprint(r.goesTo)}
}
