package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	presencev1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/presence/v1"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/metadata"
)

// snapshotPart is the most that one message may carry by the contract.
const snapshotPart = 4096

// attached is one gateway's stream to one shard.
type attached struct {
	*portion
	stream presencev1.PresenceService_AttachClient
	seq    uint64
	random *rand.Rand
	// offline are sessions that have ended for the moment.
	offline []int
}

// attach opens a portion's stream and tells all its sessions.
func attach(ctx context.Context, client presencev1.PresenceServiceClient, p *portion, incarnation string) (*attached, error) {
	ctx = metadata.AppendToOutgoingContext(ctx,
		"x-worldmesh-caller", "gateway", "x-presence-shard", strconv.Itoa(int(p.shard)))
	stream, err := client.Attach(ctx)
	if err != nil {
		return nil, err
	}
	a := &attached{portion: p, stream: stream, random: rand.New(rand.NewPCG(uint64(p.gateway), uint64(p.shard)))}
	open := &presencev1.AttachRequest_Open{GatewayId: p.name(), Incarnation: incarnation, Shard: p.shard}
	if err := stream.Send(&presencev1.AttachRequest{Body: &presencev1.AttachRequest_Open_{Open: open}}); err != nil {
		return nil, a.why(err)
	}
	for begin := 0; begin < len(p.sessions); begin += snapshotPart {
		part := p.sessions[begin:min(begin+snapshotPart, len(p.sessions))]
		changes := make([]*presencev1.AttachRequest_Change, len(part))
		for i, session := range part {
			changes[i] = change(session, roomOf(session))
		}
		more := begin+len(part) < len(p.sessions)
		if err := a.say(changes, func(said *presencev1.AttachRequest_Changes) *presencev1.AttachRequest {
			said.More = more
			return &presencev1.AttachRequest{Body: &presencev1.AttachRequest_Snapshot{Snapshot: said}}
		}); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// say tells something and waits until it has been applied.
func (a *attached) say(
	changes []*presencev1.AttachRequest_Change, as func(*presencev1.AttachRequest_Changes) *presencev1.AttachRequest,
) error {
	a.seq++
	if err := a.stream.Send(as(&presencev1.AttachRequest_Changes{Seq: a.seq, Changes: changes})); err != nil {
		return a.why(err)
	}
	response, err := a.stream.Recv()
	if err != nil {
		return err
	}
	if response.GetAckedSeq() != a.seq {
		return fmt.Errorf("acknowledged %d, said %d", response.GetAckedSeq(), a.seq)
	}
	return nil
}

// why is the reason behind a failed send, which the stream's reader hears.
func (a *attached) why(err error) error {
	_, reason := a.stream.Recv()
	return errors.Join(err, reason)
}

// live tells changes, so many at once: half are moves to another room; the others end sessions and begin them again.
func (a *attached) live(atOnce int) error {
	changes := make([]*presencev1.AttachRequest_Change, 0, atOnce)
	for _, session := range a.offline {
		changes = append(changes, change(session, roomOf(session)))
	}
	a.offline = a.offline[:0]
	for len(changes) < atOnce {
		session := a.sessions[a.random.IntN(len(a.sessions))]
		if a.random.IntN(3) == 0 && !slices.Contains(a.offline, session) {
			changes = append(changes, left(session))
			a.offline = append(a.offline, session)
		} else if !slices.Contains(a.offline, session) {
			changes = append(changes, change(session, room(a.random.IntN(crowdRooms))))
		}
	}
	return a.say(changes, asChanges)
}

// back tells that those who are offline are online again.
func (a *attached) back() error {
	var changes []*presencev1.AttachRequest_Change
	for _, session := range a.offline {
		changes = append(changes, change(session, roomOf(session)))
	}
	a.offline = nil
	return a.say(changes, asChanges)
}

func asChanges(said *presencev1.AttachRequest_Changes) *presencev1.AttachRequest {
	return &presencev1.AttachRequest{Body: &presencev1.AttachRequest_Changes_{Changes: said}}
}

// attachAll attaches portions, some at once.
func attachAll(
	ctx context.Context, clients []presencev1.PresenceServiceClient, all []*portion, incarnation string,
) ([]*attached, error) {
	out := make([]*attached, len(all))
	var group errgroup.Group
	group.SetLimit(32)
	for i, p := range all {
		group.Go(func() (err error) {
			out[i], err = attach(ctx, clients[p.gateway], p, incarnation)
			return err
		})
	}
	return out, group.Wait()
}

// liveFor has all gateways tell changes for a while, each stream as fast as it is answered. It returns how many.
func liveFor(gateways []*attached, atOnce int, d time.Duration) (float64, error) {
	var told atomic.Int64
	end := time.Now().Add(d)
	var group errgroup.Group
	for _, a := range gateways {
		group.Go(func() error {
			for time.Now().Before(end) {
				if err := a.live(atOnce); err != nil {
					return err
				}
				told.Add(int64(atOnce))
			}
			return a.back()
		})
	}
	err := group.Wait()
	return float64(told.Load()), err
}
