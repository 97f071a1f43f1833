package relay

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
	"github.com/worldmesh/worldmesh/go_services/internal/kit"
	"github.com/worldmesh/worldmesh/go_services/relay/room"
	"github.com/worldmesh/worldmesh/go_services/relay/store"
)

const (
	// stallTime is how long the log may take before the room refuses what is ordered.
	stallTime = 500 * time.Millisecond
	// giveAwayTime is how long a room that is given away waits for its log. What was not logged then was not answered,
	// and is repeated where the room is.
	giveAwayTime = time.Second
	// confirmTime is how long the store's word on a room's owner is believed when a gateway attaches. A relay that was
	// stopped for a while may have been robbed, and should not take in gateways before it knows.
	confirmTime = time.Second
	// doubtTime is how long a gateway that attaches waits for that word. If the store does not answer by then the room goes on
	// without it, as it does for those who are in: the gateway waits for twice as long.
	doubtTime = time.Second
)

// Why a room ends at this relay, in the metrics.
const (
	endIdle       = "idle"
	endDrained    = "drained"
	endRebalanced = "rebalanced"
	endFenced     = "fenced"
	endTaken      = "taken"
	endLeaseLost  = "lease lost"
	endPanicked   = "panicked"
)

var endReasons = [...]string{
	endIdle, endDrained, endRebalanced, endFenced, endTaken, endLeaseLost, endPanicked,
}

// liveRoom drives one room's core: it serializes what comes in, arms the tick, has the log written, and hands what comes
// out to streams.
type liveRoom struct {
	id      string
	hub     *hub
	metrics *metrics
	log     *slog.Logger

	mu      sync.Mutex
	core    *room.Room
	owner   store.Owner
	out     *sink
	streams map[uint64]*stream
	record  *recorder
	clock   clock
	timer   *time.Timer
	phase   time.Duration
	tempo   tempo
	due     time.Time // of the armed tick; zero if none is
	armed   time.Time // when it was: it is not late for what had not come
	ran     time.Time // when the newest tick came, and was over
	held    bool      // the armed tick waits for gateways
	lateUS  uint32    // how long after one of the room's times the newest tick came
	members int       // as counted in the metrics

	unwritten []*room.Entry // handed out by the core, not logged
	tellsLost bool          // whose connections are lost is written, also if nothing else is
	writing   bool          // a writer runs
	since     time.Time     // when the writer began with what it is writing
	stalling  bool          // it fails to write
	era       uint64        // to claim the room again in; 0: there is no need
	frozen    bool          // is given away: takes no inputs, and time does not pass
	confirmed time.Time     // when the store last said that the room is this relay's
	playing   playing
	ended     bool
	over      chan struct{} // closed when ended
}

// playing is what the core is at.
type playing struct {
	link   room.Link
	step   bool                      // a step of those that come as lists
	in     *roomv1.Input             // nil if that is no input, or the room is at rest
	record *roomv1.RoomRecord_Played // of the batch so far; nil if the room is not recorded
}

func newLiveRoom(id string, h *hub, cfg *roomv1.RoomConfig, claim store.Claim) *liveRoom {
	past := claim.Past()
	l := &liveRoom{
		id: id, hub: h, metrics: h.metrics, log: h.log, owner: claim.Owner,
		streams: map[uint64]*stream{}, over: make(chan struct{}),
	}
	l.out = &sink{room: l, encode: frames.NewEncoder()}
	l.clock = newClock(h.wall())
	l.core = room.New(id, roomConfig(cfg, h.hold), l.out, l.clock.begin, past)
	l.phase = phaseOf(id, l.core.TickInterval())
	l.tempo = tempo{nominal: l.core.TickInterval(), began: l.clock.begin}
	l.timer = time.AfterFunc(time.Hour, l.tick)
	l.timer.Stop()
	l.confirmed = time.Now()
	l.count()
	l.record = newRecorder(h.recordings, id, cfg, h.hold, l.clock.begin, past, h.log) // last: what panics has no file
	return l
}

// locked runs a function under the room's lock, and contains its panics.
func (l *liveRoom) locked(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.contain()
	f()
}

// do runs a function on the core, has the log written, and arms the tick if there is something to send then. It does
// nothing if the room is not here any more.
func (l *liveRoom) do(f func(now time.Time, core *room.Room)) {
	l.locked(func() {
		if l.ended {
			return
		}
		now := l.clock.now()
		if l.writing && time.Since(l.since) > stallTime {
			l.logWorks(now, false)
		}
		f(now, l.core)
		l.count()
		l.arm(now)
		l.write(now)
		l.tempo.worked(l.clock.now().Sub(now))
	})
}

// logWorks lets the room take what is ordered, or refuse it.
func (l *liveRoom) logWorks(now time.Time, works bool) {
	if l.core.LogWorks() != works {
		l.record.step(now, &roomv1.RoomRecord{Step: &roomv1.RoomRecord_LogWorks_{
			LogWorks: &roomv1.RoomRecord_LogWorks{Works: works},
		}})
		l.core.SetLog(works)
	}
}

// clock is a room's time: the wall clock's when the room went live, and what has passed since by the monotonic one. So it
// does not jump with the wall clock, and a recording has all of it.
type clock struct{ begin, started time.Time }

func newClock(wall time.Time) clock {
	started := time.Now()
	return clock{begin: time.Unix(0, wall.UnixNano()), started: started}
}

func (c clock) now() time.Time { return c.begin.Add(time.Since(c.started)) }

func (l *liveRoom) count() {
	if now := l.core.Len(); now != l.members {
		l.metrics.members.Add(float64(now - l.members))
		l.members = now
	}
}

// phaseOf lets half of the rooms tick in the middle of the interval, so that they do not all burst at once. No finer:
// each time that relay, proxy and gateway wake costs them more than a room's tick does, so rooms should wake them
// together.
func phaseOf(id string, interval time.Duration) time.Duration {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id))
	return time.Duration(h.Sum32()%2) * interval / 2
}

// arm aims at the room's next tick: inputs never wait for more than one.
func (l *liveRoom) arm(now time.Time) {
	if !l.core.Dirty() || !l.due.IsZero() {
		return
	}
	l.due, l.armed = dueOf(now, l.ran, l.phase, l.tempo.interval()), now
	l.timer.Reset(l.due.Sub(now))
}

func (l *liveRoom) tick() { l.locked(l.tickIfDue) }

func (l *liveRoom) tickIfDue() {
	if l.ended || l.due.IsZero() {
		return
	}
	now := l.clock.now()
	switch early := l.due.Sub(now); {
	case early > 0: // the timer was for the tick before, which did not wait for it
		l.timer.Reset(early)
	case !l.held && l.expects():
		l.held = true
		l.timer.Reset(graceOf(l.tempo.interval()) + early)
	default:
		l.tickNow()
		l.tempo.worked(l.clock.now().Sub(now))
	}
}

// expects says whether a gateway by which members walk has not told of this tick yet.
func (l *liveRoom) expects() bool {
	for _, s := range l.streams {
		if s.walks.expected(l.due, l.tempo.interval()) {
			return true
		}
	}
	return false
}

// tickNow ticks. Whoever calls it has the tempo know what it cost.
func (l *liveRoom) tickNow() {
	now := l.clock.now()
	late := now.Sub(l.due)
	l.metrics.tickLag.Observe(min(late, now.Sub(l.armed)).Seconds())
	l.ran, l.due, l.held, l.lateUS = now, time.Time{}, false, uint32((late%l.tempo.nominal)/time.Microsecond)
	if l.frozen {
		return
	}
	l.record.step(now, &roomv1.RoomRecord{Step: &roomv1.RoomRecord_Tick_{Tick: &roomv1.RoomRecord_Tick{}}})
	l.core.Tick()
	after := l.clock.now()
	l.metrics.tickTime.Observe(after.Sub(now).Seconds())
	l.keepTempo(after)
	l.ran = after // what it has run into is left out
	l.arm(after)
}

// keepTempo has the room tick more slowly while it costs too much.
func (l *liveRoom) keepTempo(now time.Time) {
	before := l.tempo.halvings
	switch l.tempo.look(now) {
	case 1:
		l.metrics.slowdowns.Inc()
		if before == 0 {
			l.metrics.slowed.Inc()
			l.log.Warn("the room costs too much, and ticks more slowly", "room", l.id, "members", l.members)
		}
	case -1:
		if l.tempo.halvings == 0 {
			l.metrics.slowed.Dec()
		}
	}
}

// write starts the writer if something waits for it. While it writes, more gathers: the next write takes it all.
func (l *liveRoom) write(now time.Time) {
	if entries := l.core.TakeUnlogged(); len(entries) > 0 {
		l.record.step(now, &roomv1.RoomRecord{Step: &roomv1.RoomRecord_Taken_{Taken: &roomv1.RoomRecord_Taken{}}})
		l.unwritten = append(l.unwritten, entries...)
	}
	if l.writing || !l.hasWork() {
		return
	}
	l.writing, l.since = true, time.Now()
	l.hub.running.Go(l.writer)
}

// writer logs what waits until nothing does. Nobody else changes the room in the store while it runs.
func (l *liveRoom) writer() {
	wait := 10 * time.Millisecond
	for {
		next, more := l.next()
		if !more {
			return
		}
		start := time.Now()
		var err error
		if next.era != 0 {
			err = l.claimAgain(next.era)
		} else {
			err = l.appendOnce(next)
		}
		switch {
		case err == nil:
			l.metrics.appendTime.Observe(time.Since(start).Seconds())
			wait = 10 * time.Millisecond
			l.logged(next)
		case errors.Is(err, store.ErrFenced):
			l.end("", endFenced)
			return
		case errors.Is(err, store.ErrForgotten):
			l.log.Warn("the store has forgotten the room", "room", l.id)
			if err = l.hub.forgotten(next.owner.Epoch); err == nil {
				l.wantEra(l.hub.tenure.currentEra())
				continue
			}
			fallthrough
		default:
			l.metrics.appendFailures.Inc()
			l.stalled(err)
			if kit.Sleep(l.hub.ctx, wait) != nil {
				return
			}
			wait = min(2*wait, 250*time.Millisecond)
		}
	}
}

// batch is what is written at once: entries and whose connections are lost; or, if there is an era, a claim in it.
type batch struct {
	owner   store.Owner
	era     uint64
	entries []*room.Entry
	lost    []room.Lost
	now     time.Time // by the room's clock
	last    bool      // of a room that is given away
}

// hasWork says whether something is to be written.
func (l *liveRoom) hasWork() bool { return len(l.unwritten) > 0 || l.era != 0 || l.tellsLost }

// next is what is to be written; false, and the writer is over, if there is nothing.
func (l *liveRoom) next() (b batch, more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.contain()
	if l.ended || !l.hasWork() {
		l.writing = false
		return batch{}, false
	}
	l.since = time.Now()
	next := batch{owner: l.owner, era: l.era, now: l.clock.now(), last: l.frozen}
	if l.era != 0 { // the rest comes next
		return next, true
	}
	next.entries, next.lost = l.unwritten, l.core.LostNews()
	if next.last {
		next.lost = l.core.LostToAll(next.now)
	}
	return next, true
}

func (l *liveRoom) appendOnce(b batch) error {
	lost := make([]store.Lost, len(b.lost))
	for i, m := range b.lost {
		lost[i] = store.Lost{Entity: m.Entity, For: b.now.Sub(m.Since), Back: m.Since.IsZero()}
	}
	ctx, cancel := context.WithTimeout(l.hub.ctx, storeTimeout)
	defer cancel()
	return l.hub.tenure.store.Append(ctx, l.id, b.owner, b.entries, lost)
}

// logged takes note of what is in the log: what waited for it goes out.
func (l *liveRoom) logged(b batch) {
	l.do(func(now time.Time, core *room.Room) {
		l.unwritten = l.unwritten[len(b.entries):]
		l.confirmed = time.Now()
		if b.era == 0 {
			if l.stalling {
				l.log.Info("the room's log can be written to again", "room", l.id)
			}
			l.stalling = false
			l.tellsLost = l.frozen && !b.last
			core.LostTold(b.lost)
		}
		l.logWorks(now, true)
		l.record.step(now, &roomv1.RoomRecord{Step: &roomv1.RoomRecord_Logged_{
			Logged: &roomv1.RoomRecord_Logged{Entries: uint32(len(b.entries))},
		}})
		core.Logged(len(b.entries))
	})
}

// stalled lets the room refuse what is ordered until the log can be written to again.
func (l *liveRoom) stalled(err error) {
	l.locked(func() {
		if l.ended {
			return
		}
		l.logWorks(l.clock.now(), false)
		if !l.stalling { // said once
			l.stalling = true
			l.log.Warn("the room's log can not be written to", "room", l.id, "error", err.Error())
		}
	})
}

// wantEra has the room claimed again, if it is not of the era already.
func (l *liveRoom) wantEra(era uint64) {
	l.locked(func() {
		if !l.ended && era > l.owner.Epoch/store.EpochsPerEra {
			l.era = era
			l.write(l.clock.now())
		}
	})
}

// claimAgain takes a newer era for a room that is here, and tells the store again what it may have forgotten.
func (l *liveRoom) claimAgain(era uint64) error {
	select {
	case l.hub.claiming <- struct{}{}:
		defer func() { <-l.hub.claiming }()
	case <-l.hub.ctx.Done():
		return context.Cause(l.hub.ctx)
	}
	q := store.ClaimRequest{Room: l.id, Era: era}
	l.locked(func() {
		if !l.ended {
			q.Owner, q.Held, q.Past = l.owner, l.owner.Epoch, l.core.Past()
		}
	})
	if q.Held == 0 {
		return nil // it has ended
	}
	ctx, cancel := context.WithTimeout(l.hub.ctx, storeTimeout)
	defer cancel()
	claim, err := l.hub.tenure.store.Claim(ctx, q)
	if err != nil {
		return err
	}
	if !claim.Granted {
		return store.ErrFenced
	}
	l.metrics.claims.WithLabelValues(claimAgain).Inc()
	l.locked(func() {
		if l.ended {
			return
		}
		l.owner = claim.Owner
		l.record.step(l.clock.now(), &roomv1.RoomRecord{
			Step: &roomv1.RoomRecord_Reclaimed_{Reclaimed: &roomv1.RoomRecord_Reclaimed{Epoch: claim.Owner.Epoch}},
		})
		l.core.Reclaimed(claim.Owner.Epoch)
		if l.era <= era {
			l.era = 0
		}
	})
	return nil
}

// doubtful says whether the store has not said for a while that the room is this relay's.
func (l *liveRoom) doubtful() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Since(l.confirmed) > confirmTime
}

// attach adds a gateway's stream, with the members who were in by it; false if the room is not here any more. A gateway
// has one stream at a time: what it had before is over. After a network that stood still its streams may arrive in any
// order, so the one that is ended may be the newest; the gateway then opens another.
func (l *liveRoom) attach(s *stream, open *roomv1.AttachRequest_Open) (epoch uint64, ok bool) {
	l.do(func(now time.Time, core *room.Room) {
		if l.frozen {
			return
		}
		epoch, ok = l.owner.Epoch, true
		before := l.streamsOf(s.gateway)
		l.streams[s.id] = s
		l.record.step(now, &roomv1.RoomRecord{Step: &roomv1.RoomRecord_Attached_{
			Attached: &roomv1.RoomRecord_Attached{Stream: s.id, Open: open},
		}})
		core.Attached(s.id, positionOf(open.GetSeen()), rejoinsOf(open.GetRejoins()))
		for _, other := range before { // what still comes by it is not played
			other.supersede()
			l.drop(now, other)
		}
	})
	return epoch, ok
}

func (l *liveRoom) streamsOf(gateway string) (streams []*stream) {
	for _, s := range l.streams {
		if s.gateway == gateway {
			streams = append(streams, s)
		}
	}
	return streams
}

// detach removes a stream; its members stay for a while.
func (l *liveRoom) detach(s *stream) {
	l.do(func(now time.Time, _ *room.Room) { l.drop(now, s) })
}

func (l *liveRoom) drop(now time.Time, s *stream) {
	if l.streams[s.id] != s {
		return // another of its gateway has taken its place
	}
	delete(l.streams, s.id)
	l.record.step(now, &roomv1.RoomRecord{Step: &roomv1.RoomRecord_StreamEnded_{
		StreamEnded: &roomv1.RoomRecord_StreamEnded{Stream: s.id},
	}})
	l.core.StreamEnded(now, s.id)
}

// play plays a batch of a stream, unless the stream is over or the room is given away: then the gateway repeats it where it
// is. `valid` says which inputs may be played, and answers the others.
func (l *liveRoom) play(s *stream, batch *roomv1.AttachRequest_Inputs, valid func(link room.Link, in *roomv1.Input) bool) {
	l.do(func(now time.Time, core *room.Room) {
		if l.frozen || l.streams[s.id] != s {
			return
		}
		if l.record != nil {
			l.playing.record = &roomv1.RoomRecord_Played{Stream: s.id, Steps: batch.GetSteps()}
		}
		walked := len(batch.GetSteps().GetLinks()) > 0
		inOrder(batch, func(link uint32, move room.Move) {
			l.playing.link, l.playing.step = room.Link{Stream: s.id, ID: link}, true
			core.Move(now, l.playing.link, room.In{}, move)
			l.playing.step = false
		}, func(link uint32) {
			l.out.Failed(room.Link{Stream: s.id, ID: link}, room.In{},
				commonv1.ErrorReason_ERROR_REASON_INVALID_FIELD, "a part of the step is out of its bounds")
		}, func(i int, in *roomv1.Input) {
			link, span := room.Link{Stream: s.id, ID: in.GetLink()}, inputSpan(l.id, in)
			defer span.End()
			l.playing.link, l.playing.in = link, in
			if !valid(link, in) {
				l.playing.in = nil
				return
			}
			walked = walked || in.GetState() != nil
			if record := l.playing.record; record != nil {
				record.Inputs = append(record.Inputs, in)
				if before := batch.GetStepsBefore(); len(before) > 0 {
					record.StepsBefore = append(record.StepsBefore, before[i])
				}
			}
			apply(core, now, link, in)
			l.playing.in = nil
		})
		if walked {
			s.walks.note(now, l.tempo.interval())
		}
		l.recordPlayed(now)
		if l.held && !l.expects() {
			l.tickNow()
		}
	})
}

// recordPlayed records the batch that the core was at.
func (l *liveRoom) recordPlayed(now time.Time) {
	if l.playing.record != nil {
		l.record.step(now, &roomv1.RoomRecord{Step: &roomv1.RoomRecord_Played_{Played: l.playing.record}})
	}
	l.playing = playing{}
}

// idle says whether nobody is in and nobody is attached. Time does not pass in a room that is given away: who leaves by it
// would be written to the log after the room was.
func (l *liveRoom) idle() (idle bool) {
	l.do(func(now time.Time, core *room.Room) {
		if l.frozen {
			return
		}
		l.record.step(now, &roomv1.RoomRecord{Step: &roomv1.RoomRecord_Passed_{Passed: &roomv1.RoomRecord_Passed{}}})
		l.record.flush()
		core.Time(now)
		l.keepTempo(now) // a room that has fallen silent does not tick
		l.tellsLost = l.tellsLost || len(core.LostNews()) > 0
		idle = len(l.streams) == 0 && core.Len() == 0 && core.Waiting() == 0
	})
	return idle
}

// giveAway writes what waits, releases the room, and sends its gateways to another relay; an empty address lets them go
// wherever they get to. What comes in meanwhile is not taken: the gateways repeat it there.
func (l *liveRoom) giveAway(ctx context.Context, to, why string) {
	mine := false
	l.locked(func() {
		if l.frozen || l.ended {
			return
		}
		mine, l.frozen = true, true
		l.metrics.leaving.Inc()
		l.tellsLost = l.core.Len() > 0
		l.write(l.clock.now())
	})
	if !mine {
		return
	}
	l.settle(ctx)
	err := l.release(ctx)
	if errors.Is(err, store.ErrForgotten) { // the store must learn everything again first
		if l.hub.forgotten(l.epoch()) == nil {
			l.wantEra(l.hub.tenure.currentEra())
			l.settle(ctx)
			err = l.release(ctx)
		}
	}
	if err != nil { // whoever is asked for it next asks this relay first
		l.log.Warn("release room", "room", l.id, "error", err.Error())
	}
	l.end(to, why)
}

var errWaiting = errors.New("the log can not be written to")

// release lets another relay claim the room.
func (l *liveRoom) release(ctx context.Context) error {
	var owner store.Owner
	var last frames.LogPosition
	waiting := true
	l.locked(func() {
		if !l.ended {
			owner, last, waiting = l.owner, l.core.Position(), l.core.Waiting() > 0
		}
	})
	if waiting {
		return errWaiting
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	return l.hub.tenure.store.Release(ctx, l.id, owner, last)
}

// ownership is whose the room is as far as is known here, and the newest place that members know of: the store must know
// both, too.
func (l *liveRoom) ownership() (o store.Ownership) {
	l.locked(func() { o = store.Ownership{Owner: l.owner, Last: l.core.Position()} })
	return o
}

// confirm takes the store's word on who owns the room; false if the room is not owned any more as it was when the store was
// asked.
func (l *liveRoom) confirm(asked, owner store.Owner) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.owner != asked {
		return false
	}
	if owner == asked {
		l.confirmed = time.Now()
	}
	return true
}

func (l *liveRoom) epoch() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.owner.Epoch
}

// settle waits until all that came in so far is in the log, for a while.
func (l *liveRoom) settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, giveAwayTime)
	defer cancel()
	for l.waits() && kit.Sleep(ctx, 2*time.Millisecond) == nil { //nolint:revive // a condition of the core has no signal
	}
}

func (l *liveRoom) waits() (waits bool) {
	l.locked(func() { waits = !l.ended && (l.core.Waiting() > 0 || l.era != 0 || l.tellsLost) })
	return waits
}

// end ends the room here: its gateways attach elsewhere.
func (l *liveRoom) end(to, why string) {
	l.locked(func() {
		if l.ended {
			return
		}
		if l.record != nil {
			l.record.end(l.clock.now(), l.core.Hash())
		}
		l.endLocked(why, func(s *stream) { s.move(&roomv1.AttachResponse_Moved{RelayAddress: to}) })
	})
}

func (l *liveRoom) endLocked(why string, tell func(*stream)) {
	l.ended = true
	if l.frozen {
		l.metrics.leaving.Dec()
	}
	l.timer.Stop()
	close(l.over)
	l.metrics.members.Sub(float64(l.members))
	if l.tempo.halvings > 0 {
		l.metrics.slowed.Dec()
	}
	l.metrics.ends.WithLabelValues(why).Inc()
	for _, s := range l.streams {
		tell(s)
	}
	l.hub.forget(l)
}

// contain ends a room whose core panics, for nobody knows what state that is in. All that was answered is in the log, out of
// which the room lives again, and other rooms notice nothing. What the core was at comes from a gateway that would repeat it:
// an input is refused, and a step, of which gateways keep the newest, puts its member out. The room's lock is held.
func (l *liveRoom) contain() {
	p := recover()
	if p == nil {
		return
	}
	l.log.Error("the room panicked", "room", l.id, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	if l.ended {
		return
	}
	l.out = &sink{room: l, encode: frames.NewEncoder()} // the other may have been in the middle of a frame
	const reason = commonv1.ErrorReason_ERROR_REASON_INTERNAL
	switch at := l.playing; {
	case at.step || at.in.GetState() != nil:
		l.out.Removed(at.link, room.In{Number: at.in.GetNumber()}, reason)
	case at.in != nil:
		l.out.refuse(at.link, at.in, reason, "the room failed at this")
	}
	func() {
		defer func() { _ = recover() }() // it may be the recording at which it happened
		l.recordPlayed(l.clock.now())
		l.record.close()
	}()
	l.endLocked(endPanicked, func(s *stream) { s.fail(errPanicked) })
}
