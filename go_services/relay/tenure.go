package relay

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	worldv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/world/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/kit"
	"github.com/worldmesh/worldmesh/go_services/relay/store"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
)

const (
	// storeTimeout bounds each word with the store.
	storeTimeout = 2 * time.Second
	// askTimeout is how long an owner may take to say that it lives before it counts as dead. Once, not twice for half as
	// long: one that is far away would be robbed by whoever a gateway asks by mistake.
	askTimeout = 500 * time.Millisecond
	// patience is for how long a relay that starts waits for its lease before it says so.
	patience = 3 * time.Second
	// claimTimes bounds how often a claim is tried while owners change.
	claimTimes = 20
	// tellTime is how long it may take that a relay learns of a new era, from when it is to renew its lease.
	tellTime = time.Second
	// silence is after how long without a renewal a relay that is to tell of its rooms is held for dead: a word with the store
	// about its rooms and one about its lease come in between.
	silence = 2*storeTimeout + time.Second
	// yieldTime is how long a relay that gives its rooms away, or moves the era on, may take before it is looked at again.
	yieldTime = 50 * time.Millisecond
)

var (
	errContested = kit.NewError(codes.Unavailable, commonv1.ErrorReason_ERROR_REASON_ROOM_UNAVAILABLE,
		"the room's owner changes too often")
	errStoreDown = kit.NewError(codes.Unavailable, commonv1.ErrorReason_ERROR_REASON_LOG_UNAVAILABLE,
		"the store of rooms does not answer").After(time.Second)
	errCutOff = kit.NewError(codes.Unavailable, commonv1.ErrorReason_ERROR_REASON_ROOM_UNAVAILABLE,
		"the relay does not reach the mesh, and can not ask the room's owner").After(time.Second)
	errFencedOff = kit.NewError(codes.Unavailable, commonv1.ErrorReason_ERROR_REASON_LOG_UNAVAILABLE,
		"the relay has lost its lease").After(time.Second)
)

// movedError tells that a room is at another relay.
type movedError struct{ owner store.Owner }

func (e *movedError) Error() string { return "the room is at " + e.owner.Relay }

// tenure is this relay's right to own rooms: its lease, and the era in which it claims.
type tenure struct {
	me     store.Owner
	lease  time.Duration
	store  store.Store
	world  worldv1.WorldServiceClient
	relays roomv1.RoomServiceClient
	log    *slog.Logger

	// load says how many rooms this relay holds, and whether it gives them away.
	load func() (rooms int, draining bool)
	// oldest is the oldest era in which this relay owns one of its rooms; 0: it has none.
	oldest func() uint64

	moving    sync.Mutex // held while the era is moved on
	looking   lookout    // for those who know of something that the store has forgotten
	settling  lookout    // for those who claim
	settledAt time.Time  // who came before may believe the store; settling guards it
	mu        sync.Mutex
	era       uint64
	moved     time.Time // when the era began, unless nobody had a room then
	renewed   time.Time
	peers     []store.Relay
	silent    map[string]time.Duration // how long they were, by their ids
}

// valid says whether this relay may own rooms: two thirds of its lease have not passed by its own clock.
func (t *tenure) valid(now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return now.Sub(t.renewed) < t.lease*2/3
}

// interval is how often the lease is renewed. A store that is away for more than half of a lease costs no relay its rooms: this
// and that are less than two thirds.
func (t *tenure) interval() time.Duration { return t.lease / 12 }

// soon is how often it is renewed where something is amiss.
func (t *tenure) soon() time.Duration { return t.lease / 64 }

func (t *tenure) currentEra() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.era
}

// renew holds the lease, and moves the era on if the store may have forgotten something.
func (t *tenure) renew(ctx context.Context) error {
	start, known := time.Now(), t.currentEra() // another renewal may move it on before this one is answered
	renewal, err := t.hold(ctx)
	if err != nil {
		return err
	}
	if t.follow(renewal, known) {
		t.noteRenewal(start, renewal)
		return nil
	}
	if err := t.advance(ctx, max(known, renewal.Era), renewal.ReplicationID); err != nil {
		return err
	}
	t.noteRenewal(start, renewal)
	return nil
}

// follow takes over the era that the store knows; false if it is less than it should be at least, or was written before the store
// failed over.
func (t *tenure) follow(renewal store.Renewal, least uint64) bool {
	if renewal.Era < least || renewal.EraReplicationID != renewal.ReplicationID {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if renewal.Era > t.era {
		t.era = renewal.Era
		t.moved = time.Now().Add(-renewal.EraAge) // not before it was: when the store looked is not known
	}
	return true
}

// noteRenewal takes note of one that was begun then, unless a later one has been answered before.
func (t *tenure) noteRenewal(start time.Time, renewal store.Renewal) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if start.After(t.renewed) {
		t.renewed, t.peers, t.silent = start, renewal.Peers, renewal.Silent
	}
}

// advance moves on from an era that the store does not remember, for good: it is kept in MongoDB. From 0 it moves on from whichever
// there is.
func (t *tenure) advance(ctx context.Context, from uint64, replicationID string) error {
	t.moving.Lock()
	defer t.moving.Unlock()
	if t.currentEra() > from {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 2*storeTimeout)
	defer cancel()
	present, err := t.world.AdvanceEra(ctx, &worldv1.AdvanceEraRequest{})
	if err != nil {
		return err
	}
	if from != 0 && present.GetEra() > from {
		// Others have moved it on. They tell the store in a moment; or they have, and it has forgotten that, too.
		if err := kit.Sleep(ctx, yieldTime); err != nil {
			return err
		}
		renewal, err := t.hold(ctx)
		if err != nil || t.follow(renewal, present.GetEra()) {
			return err
		}
		replicationID = renewal.ReplicationID
	}
	from = max(from, present.GetEra()) // world may have been put back to an older state
	next, err := t.world.AdvanceEra(ctx, &worldv1.AdvanceEraRequest{After: from})
	if err != nil {
		return err
	}
	isNew := from <= 1 // then nobody has a room
	if err := t.store.SetEra(ctx, next.GetEra(), replicationID, isNew); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !isNew {
		t.moved = time.Now()
	}
	if t.era == 0 { // Redis may just have started, too
		t.log.InfoContext(ctx, "this relay begins in a new era", "era", next.GetEra())
	} else {
		t.log.InfoContext(ctx, "the era of room ownership has moved on", "era", next.GetEra())
	}
	t.era = max(t.era, next.GetEra())
	return nil
}

// forgotten moves the era on because the store does not know what was written in it, unless others have done so already: else
// each of a hundred relays would have all claim all of their rooms again.
func (t *tenure) forgotten(ctx context.Context, era uint64) error {
	movedOn := func() bool { return t.currentEra() > era } // for another room already
	return t.looking.once(movedOn, func() error {
		renewal, err := t.hold(ctx)
		if err != nil {
			return err
		}
		if t.follow(renewal, era+1) {
			return nil
		}
		return t.advance(ctx, max(era, renewal.Era), renewal.ReplicationID)
	})
}

// hold renews the lease in the store.
func (t *tenure) hold(ctx context.Context) (store.Renewal, error) {
	rooms, draining := t.load()
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	return t.store.Renew(ctx, store.Relay{
		ID: t.me.Relay, Incarnation: t.me.Incarnation, Address: t.me.Address, Rooms: rooms, Draining: draining,
		Era: t.oldest(),
	}, t.lease)
}

// claim makes this relay a room's owner: of a room that is free, or of one whose owner does not answer and is `robbed`. A
// movedError tells that it has one who does.
func (t *tenure) claim(ctx context.Context, roomID string) (claim store.Claim, robbed string, err error) {
	q := store.ClaimRequest{Room: roomID, Owner: t.me}
	for range claimTimes {
		if err = t.settled(ctx); err == nil {
			q.Era = t.currentEra()
			call, cancel := context.WithTimeout(ctx, storeTimeout)
			claim, err = t.store.Claim(call, q)
			cancel()
		}
		if err != nil {
			t.log.WarnContext(ctx, "claim room", "room", roomID, "error", err.Error())
			return claim, "", errStoreDown
		}
		if claim.Granted {
			return claim, robbed, nil
		}
		alive, yields, err := t.answers(ctx, roomID, claim.Owner)
		switch {
		case err != nil:
			return claim, "", err
		case yields:
			q.StealAfter, robbed = 0, ""
			if err := kit.Sleep(ctx, yieldTime); err != nil {
				return claim, "", err
			}
		case alive:
			return claim, "", &movedError{claim.Owner}
		default:
			q.StealAfter, robbed = claim.Owner.Epoch, claim.Owner.Relay
		}
	}
	return claim, "", errContested
}

// settled waits until what the store says of rooms may be believed. If it has just forgotten something, who has a room must have
// told it so again: it would lose the room, and what was said in it, to whoever is asked first. All who may own rooms have
// renewed their leases by then, and those who have many rooms say when the store knows of all.
func (t *tenure) settled(ctx context.Context) error {
	came := time.Now()
	return t.settling.once(func() bool { return t.settledAt.After(came) }, func() error { return t.settle(ctx) })
}

// settle is settled, for all who wait. One is at it at a time.
func (t *tenure) settle(ctx context.Context) error {
	for {
		since := time.Now()
		if err := t.renew(ctx); err != nil {
			return err
		}
		moved := t.lastMove()
		if wait := time.Until(moved.Add(t.interval() + tellTime)); wait > 0 {
			if err := kit.Sleep(ctx, wait); err != nil {
				return err
			}
			continue // it may have forgotten everything once more
		}
		if !t.othersBehind() || time.Since(moved) >= t.lease { // who has not told for longer does not live
			t.settledAt = since
			return nil
		}
		if err := kit.Sleep(ctx, t.soon()); err != nil {
			return err
		}
	}
}

// lastMove is when the era began; the zero time if nobody had a room then.
func (t *tenure) lastMove() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.moved
}

// othersBehind says whether others live who have rooms that they have not claimed in the present era: they renew their leases
// soon, until they have.
func (t *tenure) othersBehind() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.ContainsFunc(t.peers, func(p store.Relay) bool {
		return p.ID != t.me.Relay && p.Era != 0 && p.Era < t.era && t.silent[p.ID] < silence
	})
}

// lookout lets one at a time ask the store whether it has forgotten something, for all rooms that want to know.
type lookout struct {
	mu     sync.Mutex
	failed time.Time // when somebody was last told this
	err    error
}

// once asks, unless it has been answered while this one waited: by what another has found out, or by its failure.
func (l *lookout) once(answered func() bool, ask func() error) error {
	came := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case answered():
		return nil
	case l.failed.After(came):
		return l.err
	}
	if err := ask(); err != nil {
		l.failed, l.err = time.Now(), err
		return err
	}
	return nil
}

// answers says whether an owner is alive, and whether it gives its rooms away. One that is not is robbed: its epoch
// keeps it from writing, so a mistake costs a moment and nothing else. It is an error if not even this relay can be reached.
func (t *tenure) answers(ctx context.Context, roomID string, owner store.Owner) (alive, yields bool, err error) {
	response, err := t.ask(ctx, roomID, owner.Address)
	if err != nil {
		if _, err := t.ask(ctx, roomID, t.me.Address); err != nil {
			return false, false, errCutOff
		}
		return false, false, nil
	}
	// Envoy asks another if nobody listens at the address.
	alive = response.GetRelayId() == owner.Relay && response.GetIncarnation() == owner.Incarnation
	return alive, alive && response.GetDraining(), nil
}

// ask asks the relay at an address which it is.
func (t *tenure) ask(ctx context.Context, roomID, address string) (*roomv1.GetRelayResponse, error) {
	ctx = metadata.AppendToOutgoingContext(ctx, kit.HeaderRoomID, roomID, kit.HeaderHost, address)
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return t.relays.GetRelay(ctx, &roomv1.GetRelayRequest{})
}

// askOwner asks another relay who is in a room, if one owns it; else the room is as this relay has it.
func (t *tenure) askOwner(
	ctx context.Context, request *roomv1.GetLiveRoomRequest, here *roomv1.GetLiveRoomResponse,
) (*roomv1.GetLiveRoomResponse, error) {
	call, cancel := context.WithTimeout(ctx, storeTimeout)
	owners, err := t.store.Owners(call, []string{request.GetRoomId()})
	cancel()
	if err != nil {
		return nil, errStoreDown
	}
	owner := owners[request.GetRoomId()].Owner
	if owner.Relay == "" || owner.Relay == t.me.Relay {
		return here, nil
	}
	ctx = metadata.AppendToOutgoingContext(ctx, kit.HeaderRoomID, request.GetRoomId(), kit.HeaderHost, owner.Address)
	return t.relays.GetLiveRoom(ctx, request)
}

// elsewhere is the answer of a relay that has lost its lease to who wants a room of it: another that has one.
func (t *tenure) elsewhere(ctx context.Context, roomID string) error {
	peer := t.other()
	if peer.Address == "" {
		return errFencedOff
	}
	response, err := t.ask(ctx, roomID, peer.Address)
	if err != nil || response.GetRelayId() != peer.ID {
		return errFencedOff
	}
	return &movedError{store.Owner{Relay: peer.ID, Address: peer.Address}}
}

// spare is the peer that should take some of this relay's rooms, and how many; 0: none should. All relays that have too many
// see about the same list: each finds in it what those before it, by their ids, will have given, so that they do not all give
// to the same.
func (t *tenure) spare(rooms int) (to store.Relay, count int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	total, takers := rooms, 1
	for _, peer := range t.peers {
		if peer.ID != t.me.Relay && !peer.Draining {
			total += peer.Rooms
			takers++
		}
	}
	fair := total / takers
	tolerated := fair + fair/4 + 2
	if takers == 1 || rooms <= tolerated {
		return to, 0
	}
	given := 0 // by those before
	for _, peer := range t.peers {
		if peer.ID < t.me.Relay && !peer.Draining && peer.Rooms > tolerated {
			given += peer.Rooms - fair
		}
	}
	for _, peer := range t.peers {
		free := fair - peer.Rooms
		if peer.ID == t.me.Relay || peer.Draining || free <= 0 {
			continue
		}
		if given < free {
			return peer, min(rooms-fair, free-given, max(1, rooms/10))
		}
		given -= free
	}
	return to, 0
}

// spread is where so many rooms go: each to the peer that has the fewest then; nowhere in particular, if there is none.
func (t *tenure) spread(rooms int) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	takers := slices.DeleteFunc(slices.Clone(t.peers), func(peer store.Relay) bool { return peer.ID == t.me.Relay || peer.Draining })
	to := make([]string, rooms)
	for i := range to {
		if len(takers) == 0 {
			break
		}
		least := 0
		for other := range takers {
			if takers[other].Rooms < takers[least].Rooms {
				least = other
			}
		}
		to[i] = takers[least].Address
		takers[least].Rooms++
	}
	return to
}

// other is one of the peers that have no more rooms than most; the zero one if there is none. Which of them is chance: else all
// who are sent away would go to the same.
func (t *tenure) other() store.Relay {
	t.mu.Lock()
	defer t.mu.Unlock()
	peers := slices.DeleteFunc(slices.Clone(t.peers), func(p store.Relay) bool { return p.ID == t.me.Relay || p.Draining })
	if len(peers) == 0 {
		return store.Relay{}
	}
	slices.SortFunc(peers, func(a, b store.Relay) int { return a.Rooms - b.Rooms })
	return peers[rand.IntN((len(peers)+1)/2)]
}

// leave gives the lease up, as the last thing.
func (t *tenure) leave(ctx context.Context) {
	call, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if err := t.store.Leave(call, store.Relay{ID: t.me.Relay, Incarnation: t.me.Incarnation}); err != nil {
		t.log.WarnContext(ctx, "give up the lease", "error", err.Error())
	}
}

// begin renews until it has worked once. That others have not started yet, either, is nothing to tell of.
func (t *tenure) begin(ctx context.Context) error {
	began, said := time.Now(), false
	for {
		err := t.renew(ctx)
		if err == nil && said {
			t.log.InfoContext(ctx, "got the lease")
		}
		if err == nil || ctx.Err() != nil {
			return err
		}
		if !said && time.Since(began) > patience {
			said = true
			t.log.WarnContext(ctx, "waiting for the lease", "error", err.Error())
		}
		if err := kit.Sleep(ctx, 200*time.Millisecond); err != nil {
			return nil //nolint:nilerr // the service ends
		}
	}
}

// leased waits until there is a lease.
func (t *tenure) leased(ctx context.Context) error {
	for !t.valid(time.Now()) && kit.Sleep(ctx, 10*time.Millisecond) == nil { //nolint:revive // begin gets it
	}
	return nil
}

// isMoved is the error's movedError, or nil.
func isMoved(err error) *movedError {
	var moved *movedError
	if errors.As(err, &moved) {
		return moved
	}
	return nil
}
