package gateway

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
	presencev1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/presence/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/kit"
	"github.com/worldmesh/worldmesh/go_services/internal/shardkey"
	"google.golang.org/grpc/metadata"
)

const (
	// ackTimeout is how long a shard may take to acknowledge changes; snapshotTimeout is that for a part of a snapshot, which
	// all gateways send at the same time when an instance is lost.
	ackTimeout      = 3500 * time.Millisecond
	snapshotTimeout = 5 * time.Second
	// tellsEvery is how long nothing is told where nothing changes. With ackTimeout it is less than an instance that has taken
	// the place of one which hangs says of nobody that they are offline (five seconds): until then this gateway must be there.
	tellsEvery = time.Second
	// maxChanges bounds the changes in one message; the contract has the same bound.
	maxChanges = 4096
	// mostWait bounds the wait before a stream is opened again. A shard that was lost says nothing of users whom no gateway
	// has named, for a time in which each gateway has to come back: so it is well below that.
	mostWait = time.Second
	// changesPause is the least time between two messages with changes to a shard. When many come and go, each would cost the
	// gateway, the proxy and the shard a message and its acknowledgement otherwise, where hundreds fit into one.
	changesPause = 100 * time.Millisecond
	// lostTime is how long who has lost the connection is said to be online, for it may come back, by any gateway: as long as
	// presence keeps the sessions of a gateway that is lost.
	lostTime = 8 * time.Second
	// lastMoment is how long a gateway that ends waits for the shards.
	lastMoment = 500 * time.Millisecond
)

var errNoAck = errors.New("the presence shard did not acknowledge in time")

// presence tells the presence shards which sessions this gateway has and where they are. It keeps only what is true
// now: while a shard does not answer, changes merge, and when it is back it gets a snapshot. Sockets never wait.
type presence struct {
	shards [shardkey.Count]*presenceShard
}

func newPresence(client presencev1.PresenceServiceClient, gatewayID string, log *slog.Logger) *presence {
	p := &presence{}
	incarnation, outage := ulid.Make().String(), newOutage[uint32]("presence stream", log)
	for i := range p.shards {
		p.shards[i] = &presenceShard{
			number: uint32(i), client: client, gateway: gatewayID, incarnation: incarnation, outage: outage,
			sessions: map[string]*presencev1.AttachRequest_Change{}, dirty: map[string]*presencev1.AttachRequest_Change{},
			wake: make(chan struct{}, 1), lostTime: lostTime,
		}
	}
	return p
}

func (p *presence) run(ctx context.Context) {
	var group sync.WaitGroup
	for _, s := range p.shards {
		group.Go(func() { s.run(ctx) })
	}
	group.Wait()
}

// flush gives the last changes a moment to be acknowledged.
func (p *presence) flush(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lastMoment)
	defer cancel()
	for _, s := range p.shards {
		for s.behind() && ctx.Err() == nil {
			_ = kit.Sleep(ctx, 10*time.Millisecond)
		}
	}
}

// moved tells where a client's session is now. The client's lock is held meanwhile: a room may tell of it while its socket
// ends, and who is gone must not come back, nor an older place follow a newer one.
func (p *presence) moved(c *client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if userID := c.session.User().ID; userID != "" && !c.gone {
		p.shards[shardkey.Of(userID)].set(&presencev1.AttachRequest_Change{UserId: userID, Device: &presencev1.Device{
			GatewaySessionId: c.session.ID, DeviceName: c.session.Device(), RoomId: c.session.Room(),
		}})
	}
}

// gone tells that a client's session has ended: after a while, if it may come back.
func (p *presence) gone(c *client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone = true
	userID := c.session.User().ID
	if userID == "" {
		return
	}
	s := p.shards[shardkey.Of(userID)]
	change := &presencev1.AttachRequest_Change{
		UserId: userID, Device: &presencev1.Device{GatewaySessionId: c.session.ID}, Gone: true,
	}
	if c.session.Lost() {
		s.lose(lostSession{time.Now().Add(s.lostTime), c.session.User().SessionID, change})
	} else {
		s.set(change)
	}
}

// revoked tells that a user who has lost the connection does not come back by a token: its session was revoked.
func (p *presence) revoked(userID, sessionID string) {
	p.shards[shardkey.Of(userID)].revoked(userID, sessionID)
}

type presenceShard struct {
	number               uint32
	client               presencev1.PresenceServiceClient
	gateway, incarnation string
	outage               *outage[uint32] // of all shards
	lostTime             time.Duration

	mu       sync.Mutex
	sessions map[string]*presencev1.AttachRequest_Change // all of this shard, by gateway session
	tells    bool                                        // a stream has begun to tell of all of them
	dirty    map[string]*presencev1.AttachRequest_Change // that have changed since, and it has not told so
	lost     []lostSession                               // that are to end, the first of them first
	untold   bool                                        // something was sent and not acknowledged, or could not be sent
	wake     chan struct{}
}

// lostSession is one whose connection is lost: when it ends, the session of its token, and how its end is told.
type lostSession struct {
	at      time.Time
	tokenOf string
	gone    *presencev1.AttachRequest_Change
}

// lose has a session end after a while. Changes are looked for at least each second, and with them for that.
func (s *presenceShard) lose(session lostSession) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lost = append(s.lost, session)
}

// revoked ends those of a user whose token's session was revoked: they can not come back.
func (s *presenceShard) revoked(userID, sessionID string) {
	s.mu.Lock()
	var over []*presencev1.AttachRequest_Change
	s.lost = slices.DeleteFunc(s.lost, func(lost lostSession) bool {
		is := lost.tokenOf == sessionID && lost.gone.GetUserId() == userID
		if is {
			over = append(over, lost.gone)
		}
		return is
	})
	s.mu.Unlock()
	for _, gone := range over {
		s.set(gone)
	}
}

// endLost ends the sessions whose time is over.
func (s *presenceShard) endLost(now time.Time) {
	over := 0
	for over < len(s.lost) && !s.lost[over].at.After(now) {
		s.setLocked(s.lost[over].gone)
		over++
	}
	if s.lost = slices.Delete(s.lost, 0, over); len(s.lost) == 0 {
		s.lost = nil
	}
}

func (s *presenceShard) set(change *presencev1.AttachRequest_Change) {
	s.mu.Lock()
	s.setLocked(change)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *presenceShard) setLocked(change *presencev1.AttachRequest_Change) {
	id := change.GetDevice().GetGatewaySessionId()
	if change.GetGone() {
		delete(s.sessions, id)
	} else {
		s.sessions[id] = change
	}
	if s.tells { // else whoever goes meanwhile would be kept until the shard is back
		s.dirty[id] = change
	}
	s.untold = true
}

// run keeps a stream to the shard open from the first session on.
func (s *presenceShard) run(ctx context.Context) {
	wait := backoff{least: 100 * time.Millisecond, most: mostWait}
	select {
	case <-ctx.Done():
		return
	case <-s.wake:
	}
	for ctx.Err() == nil {
		err := s.follow(ctx, &wait)
		if ctx.Err() == nil {
			s.outage.lost(s.number, err)
			wait.sleep(ctx)
		}
	}
}

func (s *presenceShard) follow(ctx context.Context, wait *backoff) error {
	ctx, cancel := context.WithCancel(
		metadata.AppendToOutgoingContext(ctx, kit.HeaderPresenceShard, strconv.Itoa(int(s.number))))
	defer cancel()
	stream, err := s.client.Attach(ctx)
	if err != nil {
		return err
	}
	open := &presencev1.AttachRequest_Open{GatewayId: s.gateway, Incarnation: s.incarnation, Shard: s.number}
	acks := make(chan uint64, 1)
	failed := make(chan error, 1)
	go func() {
		for {
			response, err := stream.Recv()
			if err != nil {
				failed <- err
				return
			}
			select {
			case acks <- response.GetAckedSeq():
			case <-ctx.Done():
				return
			}
		}
	}()
	if err := stream.Send(&presencev1.AttachRequest{Body: &presencev1.AttachRequest_Open_{Open: open}}); err != nil {
		return whyNot(acks, failed)
	}
	return s.tell(ctx, stream, acks, failed, wait)
}

// tell sends a snapshot, then changes, each part after the one before was acknowledged: what happens meanwhile merges.
func (s *presenceShard) tell(
	ctx context.Context, stream presencev1.PresenceService_AttachClient, acks <-chan uint64, failed <-chan error, wait *backoff,
) error {
	sessions, more := s.all(), true
	var told time.Time // when changes were sent
	defer s.over()
	for seq := uint64(1); ; seq++ {
		request, patience := &presencev1.AttachRequest{}, ackTimeout
		if more {
			patience = snapshotTimeout
			part := &presencev1.AttachRequest_Changes{Seq: seq}
			part.Changes, sessions = s.part(sessions)
			more = len(sessions) > 0
			part.More = more
			request.Body = &presencev1.AttachRequest_Snapshot{Snapshot: part}
		} else {
			changes, err := s.await(ctx, failed, told.Add(changesPause))
			if err != nil {
				return err
			}
			told = time.Now()
			request.Body = &presencev1.AttachRequest_Changes_{
				Changes: &presencev1.AttachRequest_Changes{Seq: seq, Changes: changes},
			}
		}
		if err := stream.Send(request); err != nil {
			return whyNot(acks, failed)
		}
		if err := awaitAck(ctx, seq, patience, acks, failed); err != nil {
			return err
		}
		wait.reset()
		s.outage.back(s.number, time.Now())
		if !more {
			s.acknowledged()
		}
	}
}

// await waits for changes, and until then at least; there are none if nothing has changed for tellsEvery.
func (s *presenceShard) await(
	ctx context.Context, failed <-chan error, then time.Time,
) ([]*presencev1.AttachRequest_Change, error) {
	pause := time.NewTimer(time.Until(then))
	defer pause.Stop()
	idle := time.NewTimer(tellsEvery)
	defer idle.Stop()
	for over := false; ; {
		if over {
			if changes := s.changes(); len(changes) > 0 {
				return changes, nil
			}
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case err := <-failed:
			return nil, err
		case <-pause.C:
			over = true
		case <-idle.C:
			return s.changes(), nil
		case <-s.wake:
		}
	}
}

func awaitAck(ctx context.Context, seq uint64, patience time.Duration, acks <-chan uint64, failed <-chan error) error {
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timeout.C:
			return errNoAck
		case err := <-failed:
			return err
		case acked := <-acks:
			if acked >= seq {
				return nil
			}
		}
	}
}

// all is the sessions that a snapshot begins with. It tells what is true then; what changes from now on follows.
func (s *presenceShard) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endLost(time.Now())
	s.tells = true
	return slices.Collect(maps.Keys(s.sessions))
}

// over forgets what a stream has not told: the next begins with a snapshot.
func (s *presenceShard) over() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tells = false
	clear(s.dirty)
}

// part is as many of the sessions as go into one message, as they are now, and the rest. Those that have ended meanwhile
// are left out.
func (s *presenceShard) part(sessions []string) (changes []*presencev1.AttachRequest_Change, rest []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := min(len(sessions), maxChanges)
	for _, id := range sessions[:n] {
		if change := s.sessions[id]; change != nil {
			changes = append(changes, change)
			delete(s.dirty, id)
		}
	}
	return changes, sessions[n:]
}

// acknowledged takes note that all that was sent has been applied.
func (s *presenceShard) acknowledged() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.untold = len(s.dirty) > 0
}

// behind says whether the shard does not know everything yet.
func (s *presenceShard) behind() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.untold
}

func (s *presenceShard) changes() []*presencev1.AttachRequest_Change {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endLost(time.Now())
	changes := make([]*presencev1.AttachRequest_Change, 0, min(len(s.dirty), maxChanges))
	for id, change := range s.dirty {
		if len(changes) == maxChanges {
			break
		}
		changes = append(changes, change)
		delete(s.dirty, id)
	}
	return changes
}

// whyNot is the reason behind a failed send. It is the stream's receiver that hears it, now that the stream is broken.
func whyNot(acks <-chan uint64, failed <-chan error) error {
	for {
		select {
		case err := <-failed:
			return err
		case <-acks: // on the way when the stream broke
		}
	}
}
