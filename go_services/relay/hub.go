package relay

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	"github.com/worldmesh/worldmesh/go_services/relay/store"
)

const (
	// sweepEvery is how often holds, leases and idle rooms are looked at.
	sweepEvery = 250 * time.Millisecond
	// movesAtOnce bounds how many rooms are given away at the same time.
	movesAtOnce = 64
	// claimsAtOnce bounds how many rooms are claimed again at the same time: all are in a new era, at all relays, each with all
	// that is known of it, and Redis does one after another. An answer that comes too late was work for nothing.
	claimsAtOnce = 4
	// keepEvery is how often the store is told to remember the rooms in which nothing happens.
	keepEvery = time.Hour
)

// hub holds the live rooms of this relay: those that it owns. A room is live while a gateway is attached to it or
// somebody is in.
type hub struct {
	tenure  *tenure
	metrics *metrics
	log     *slog.Logger
	hold    time.Duration
	// wall is what time others are told that it is; rooms begin with it, and go on by what has passed since.
	wall func() time.Time
	// recordings is the folder that rooms are recorded in; empty if they are not.
	recordings string

	//nolint:containedctx // the life of what outlives one stream
	ctx     context.Context
	running sync.WaitGroup

	late        bool          // with its lease: the newest renewal has failed; of the goroutine that renews
	unsure      bool          // whose its rooms are: the newest question has failed; the same goroutine's
	kept        time.Time     // when the store was told to remember the rooms; the same goroutine's
	claiming    chan struct{} // has one for each room that is being claimed again
	rebalancing sync.Mutex    // held while rooms are given to a relay that has fewer
	warned      atomic.Int64  // when it was last said that the store does not tell of owners, in ns

	mu       sync.Mutex
	rooms    map[string]*place
	lastID   uint64
	draining bool
}

// place is a room that is being claimed, or is live.
type place struct {
	opened chan struct{} // closed when live or err is set
	live   *liveRoom
	err    error
}

func newHub(ctx context.Context, t *tenure, hold time.Duration, m *metrics, log *slog.Logger) *hub {
	h := &hub{tenure: t, metrics: m, log: log, hold: hold, ctx: ctx, wall: time.Now, rooms: map[string]*place{},
		claiming: make(chan struct{}, claimsAtOnce)}
	t.load, t.oldest = h.load, h.oldestEra
	return h
}

// attach adds a gateway's stream to a room, which is claimed if it is not live. A movedError says where it is.
func (h *hub) attach(
	ctx context.Context, open *roomv1.AttachRequest_Open, newStream func(id uint64) *stream,
) (live *liveRoom, s *stream, epoch uint64, err error) {
	h.mu.Lock()
	h.lastID++
	s = newStream(h.lastID)
	h.mu.Unlock()
	for {
		if live, err = h.open(ctx, open.GetRoomId(), open.GetConfig()); err != nil {
			return nil, nil, 0, err
		}
		if live.doubtful() {
			soon, cancel := context.WithTimeout(ctx, doubtTime)
			h.checkOwners(soon, []*liveRoom{live}, false)
			cancel()
		}
		if epoch, ok := live.attach(s, open); ok {
			return live, s, epoch, nil
		}
		select { // it is being given away, or has just ended
		case <-live.over:
		case <-ctx.Done():
			return nil, nil, 0, context.Cause(ctx)
		}
	}
}

// open finds a live room, or claims it. Several who ask at once share one claim.
func (h *hub) open(ctx context.Context, id string, cfg *roomv1.RoomConfig) (*liveRoom, error) {
	h.mu.Lock()
	if h.draining {
		h.mu.Unlock()
		if peer := h.tenure.other(); peer.Address != "" {
			return nil, &movedError{store.Owner{Relay: peer.ID, Address: peer.Address}}
		}
		return nil, errDraining
	}
	p := h.rooms[id]
	if p == nil {
		if !h.tenure.valid(time.Now()) {
			h.mu.Unlock()
			return nil, h.tenure.elsewhere(ctx, id)
		}
		p = &place{opened: make(chan struct{})}
		h.rooms[id] = p
		h.running.Go(func() { h.claim(p, id, cfg) })
	}
	h.mu.Unlock()
	select {
	case <-p.opened:
		return p.live, p.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// claim makes a room live, or says why not. It outlives the stream that asked for it.
func (h *hub) claim(p *place, id string, cfg *roomv1.RoomConfig) {
	defer close(p.opened)
	claim, robbed, err := h.tenure.claim(h.ctx, id)
	h.metrics.claims.WithLabelValues(claimOutcome(robbed != "", err)).Inc()
	if _, draining := h.load(); err == nil && draining { // it came too late for the drain
		err = errDraining
		h.running.Go(func() { h.release(id, claim) })
	}
	var live *liveRoom
	if err == nil { // without the lock: a room may be large, and others ask meanwhile whether this relay lives
		live, err = h.revive(id, cfg, claim)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil {
		p.err = err
		delete(h.rooms, id)
		return
	}
	p.live = live
	if robbed != "" {
		h.log.Info("took a room whose relay does not answer", "room", id, "from", robbed, "epoch", claim.Owner.Epoch)
	}
	h.metrics.rooms.Inc()
	if h.draining { // it began meanwhile, and does not know of this one
		h.running.Go(func() { live.giveAway(context.WithoutCancel(h.ctx), "", endDrained) })
	}
}

// revive makes a room out of its log. One whose log it can not be made of fails, and no other does.
func (h *hub) revive(id string, cfg *roomv1.RoomConfig, claim store.Claim) (live *liveRoom, err error) {
	defer func() {
		if p := recover(); p != nil {
			h.log.Error("the room panicked", "room", id, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			h.metrics.ends.WithLabelValues(endPanicked).Inc()
			h.running.Go(func() { h.release(id, claim) }) // a relay of another build may know better
			err = errPanicked
		}
	}()
	return newLiveRoom(id, h, cfg, claim), nil
}

// release gives a room up that was claimed and is not wanted.
func (h *hub) release(id string, claim store.Claim) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(h.ctx), storeTimeout)
	defer cancel()
	if err := h.tenure.store.Release(ctx, id, claim.Owner, claim.Last); err != nil {
		h.log.Warn("release room", "room", id, "error", err.Error())
	}
}

// What comes of claims, in the metrics.
const (
	claimGranted = "granted"
	claimStolen  = "stolen"
	claimMoved   = "moved"
	claimAgain   = "again"
	claimFailed  = "failed"
)

var claimOutcomes = [...]string{claimGranted, claimStolen, claimMoved, claimAgain, claimFailed}

func claimOutcome(stolen bool, err error) string {
	switch {
	case isMoved(err) != nil:
		return claimMoved
	case err != nil:
		return claimFailed
	case stolen:
		return claimStolen
	default:
		return claimGranted
	}
}

// forget takes out a room that has ended. The room's lock is held: so the hub's is never held when a room's is taken.
func (h *hub) forget(l *liveRoom) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if p := h.rooms[l.id]; p != nil && p.live == l {
		delete(h.rooms, l.id)
		h.metrics.rooms.Dec()
	}
}

func (h *hub) find(roomID string) *liveRoom {
	h.mu.Lock()
	defer h.mu.Unlock()
	if p := h.rooms[roomID]; p != nil {
		return p.live
	}
	return nil
}

func (h *hub) all() []*liveRoom {
	h.mu.Lock()
	defer h.mu.Unlock()
	rooms := make([]*liveRoom, 0, len(h.rooms))
	for _, p := range h.rooms {
		if p.live != nil {
			rooms = append(rooms, p.live)
		}
	}
	return rooms
}

// load says how many rooms are live, and whether they are given away.
func (h *hub) load() (rooms int, draining bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.rooms), h.draining
}

// describe tells which start of which relay this is, and how much it holds. One that has lost its lease owns nothing: it
// says so, so that others take what it had.
func (h *hub) describe() (*roomv1.GetRelayResponse, error) {
	if !h.tenure.valid(time.Now()) {
		return nil, errFencedOff
	}
	rooms, draining := h.load()
	return &roomv1.GetRelayResponse{
		RelayId: h.tenure.me.Relay, Incarnation: h.tenure.me.Incarnation, Rooms: int32(rooms), Draining: draining,
		OtherAddress: h.tenure.other().Address,
	}, nil
}

// keepLease gets the lease and renews it.
func (h *hub) keepLease(ctx context.Context) error {
	if err := h.tenure.begin(ctx); err != nil {
		return err
	}
	timer := time.NewTimer(h.renewsIn())
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
			began := time.Now()
			h.renew(ctx)
			timer.Reset(h.renewsIn() - time.Since(began))
		}
	}
}

// renewsIn is how long it is from one renewal to the next: soon where something has failed, or others wait for news.
func (h *hub) renewsIn() time.Duration {
	if h.late || h.unsure || h.behind() {
		return h.tenure.soon()
	}
	return h.tenure.interval()
}

// oldestEra is the oldest in which this relay owns one of its rooms; 0: it has none.
func (h *hub) oldestEra() (oldest uint64) {
	for _, l := range h.all() {
		if era := l.epoch() / store.EpochsPerEra; oldest == 0 || era < oldest {
			oldest = era
		}
	}
	return oldest
}

// behind says whether rooms are still to be claimed in the present era: others wait until they hear that they are.
func (h *hub) behind() bool {
	oldest := h.oldestEra()
	return oldest != 0 && oldest < h.tenure.currentEra()
}

// keepRooms ends what is not this relay's any more, and what nobody is in. It waits for nobody: a relay whose renewals hang
// must end its rooms in time.
func (h *hub) keepRooms(ctx context.Context) error { return every(ctx, sweepEvery, h.sweep) }

func every(ctx context.Context, interval time.Duration, do func(context.Context)) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			do(ctx)
		}
	}
}

func (h *hub) sweep(ctx context.Context) {
	fenced := !h.tenure.valid(time.Now())
	for _, l := range h.all() {
		switch {
		case fenced:
			l.end("", endLeaseLost)
		case l.idle():
			h.running.Go(func() { l.giveAway(ctx, "", endIdle) })
		}
	}
}

// renew holds the lease, looks whether the rooms are still this relay's, and gives some away if it has too many.
func (h *hub) renew(ctx context.Context) {
	err := h.tenure.renew(ctx)
	switch {
	case err != nil && !h.late: // said once
		h.log.WarnContext(ctx, "the lease can not be renewed", "error", err.Error())
	case err == nil && h.late:
		h.log.InfoContext(ctx, "the lease is renewed again")
	}
	if h.late = err != nil; h.late {
		return
	}
	rooms := h.all()
	h.unsure = !h.checkOwners(ctx, rooms, true)
	h.keep(ctx, rooms)
	if _, draining := h.load(); draining {
		return
	}
	if to, count := h.tenure.spare(len(rooms)); count > 0 && h.rebalancing.TryLock() { // the next renewal does not wait for it
		h.log.InfoContext(ctx, "giving rooms to another relay", "to", to.ID, "rooms", count)
		h.running.Go(func() {
			defer h.rebalancing.Unlock()
			h.giveAway(ctx, rooms[:count], slices.Repeat([]string{to.Address}, count), endRebalanced)
		})
	}
}

// keep has the store remember rooms, if it is time to: it forgets those in which nothing happens for a day.
func (h *hub) keep(ctx context.Context, rooms []*liveRoom) {
	if time.Since(h.kept) < keepEvery {
		return
	}
	ids := make([]string, len(rooms))
	for i, l := range rooms {
		ids[i] = l.id
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if err := h.tenure.store.Keep(ctx, ids); err != nil { // the next renewal tries again
		h.log.WarnContext(ctx, "keep the rooms", "error", err.Error())
		return
	}
	h.kept = time.Now()
}

// checkOwners ends rooms that were taken from this relay, and claims those again of which the store knows nothing, for which it
// moves the era on if it may. False if the store, or a part of it, does not answer.
func (h *hub) checkOwners(ctx context.Context, rooms []*liveRoom, moves bool) bool {
	ids, known := make([]string, len(rooms)), make([]store.Ownership, len(rooms))
	for i, l := range rooms {
		ids[i], known[i] = l.id, l.ownership()
	}
	if len(ids) == 0 {
		return true
	}
	call, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	owners, err := h.tenure.store.Owners(call, ids)
	if err != nil {
		h.warnOfOwners(ctx, len(ids), len(owners), err)
	}
	era := h.tenure.currentEra()
	for i, l := range rooms {
		told, has := owners[l.id]
		mine, least := known[i].Owner, known[i].Last
		owner, last := told.Owner, told.Last
		if !has || !l.confirm(mine, owner) {
			continue // nothing is known of it, or it was claimed again meanwhile
		}
		ours := owner.Relay == mine.Relay && owner.Incarnation == mine.Incarnation
		switch {
		case owner.Epoch > mine.Epoch && !ours: // in a greater epoch that is ours, the room is being claimed again
			l.end("", endTaken)
		case owner.Epoch == mine.Epoch && owner.Relay == "": // given up, just now
		case owner.Epoch < mine.Epoch, !ours, last.Seq < least.Seq, last.Seq == least.Seq && last.Sub < least.Sub:
			// Not every fail-over shows in the replication id: a cluster has one a part, and the leases are in one of them.
			if moves = moves && h.forgotten(mine.Epoch) == nil; moves {
				era = h.tenure.currentEra()
			}
		}
		l.wantEra(era)
	}
	return err == nil
}

// warnOfOwners says that the store does not tell who owns some rooms: once in a while, for every gateway that attaches asks it.
func (h *hub) warnOfOwners(ctx context.Context, asked, told int, err error) {
	const pause = int64(5 * time.Second)
	now, last := time.Now().UnixNano(), h.warned.Load()
	if now-last >= pause && h.warned.CompareAndSwap(last, now) {
		h.log.WarnContext(ctx, "look after the rooms' owners", "rooms", asked, "told", told, "error", err.Error())
	}
}

// forgotten moves the era on after one whose epoch the store does not know.
func (h *hub) forgotten(epoch uint64) error {
	err := h.tenure.forgotten(h.ctx, epoch/store.EpochsPerEra)
	if err != nil {
		h.log.Warn("move the era on", "error", err.Error())
	}
	return err
}

// drain gives all rooms away, each to the relay that has the fewest then.
func (h *hub) drain(ctx context.Context) {
	h.mu.Lock()
	h.draining = true
	h.mu.Unlock()
	if err := h.tenure.renew(ctx); err != nil { // so that nobody gives rooms to this relay
		h.log.WarnContext(ctx, "renew the lease", "error", err.Error())
	}
	rooms := h.all()
	h.giveAway(ctx, rooms, h.tenure.spread(len(rooms)), endDrained)
}

// giveAway gives each room to the relay at an address. Those for which a drain has no time end here: their gateways look for
// them elsewhere, and take them from this relay when it does not answer any more.
func (h *hub) giveAway(ctx context.Context, rooms []*liveRoom, to []string, why string) {
	var group sync.WaitGroup
	places := make(chan struct{}, movesAtOnce)
	for i, l := range rooms {
		select {
		case places <- struct{}{}:
		case <-ctx.Done():
			if why == endDrained {
				h.log.WarnContext(ctx, "there was no time to give all rooms away", "rooms", len(rooms)-i)
				for _, late := range rooms[i:] {
					late.end("", why)
				}
			}
			group.Wait()
			return
		}
		group.Go(func() {
			defer func() { <-places }()
			l.giveAway(ctx, to[i], why)
			select { // somebody else may be at it, who needs what ends after this
			case <-l.over:
			case <-ctx.Done():
			}
		})
	}
	group.Wait()
}
