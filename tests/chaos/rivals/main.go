// Rivals has two gateways ask two relays for the same fresh rooms at the same moment, by their own protocol through the
// mesh, as happens when they do not agree on which relays there are. Each then lets a member in that speaks, goes where
// it is sent, and writes down what it hears. The plan is on standard input; what came of it is printed.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"log"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	"github.com/worldmesh/worldmesh/tests/chaos/mesh"
)

const (
	// roomsAtOnce is how many rooms are fought for at the same time.
	roomsAtOnce = 8
	// words is how many messages each member says.
	words = 5
	// latest is by how much the later of two gateways comes at most.
	latest = 3 * time.Millisecond
)

// plan is what to do.
type plan struct {
	Mesh   string   `json:"mesh"`
	Certs  string   `json:"certs"`  // the gateways' folder
	Relays []string `json:"relays"` // two, as x-worldmesh-host names them
	Rooms  []string `json:"rooms"`
	Seed   uint64   `json:"seed"`
	// Seconds bounds the run.
	Seconds float64 `json:"seconds"`
}

// result is what came of it, summed over rooms.
type result struct {
	Rooms int `json:"rooms"`
	// BothOpened counts rooms that both relays said to have; the epoch decides then.
	BothOpened int `json:"both_opened"`
	// SentOn counts rooms of which a relay told a gateway that the other one has them.
	SentOn int `json:"sent_on"`
	// TwoHistories counts rooms of which the two gateways have not heard the same in the same places; Lost and Twice
	// messages that were answered and not heard, or heard again; Back events of an older epoch than the one before.
	TwoHistories int            `json:"two_histories"`
	Lost         int            `json:"lost"`
	Twice        int            `json:"twice"`
	Back         int            `json:"epoch_went_back"`
	Failed       int            `json:"failed"`
	Why          map[string]int `json:"why"`
}

func main() {
	log.SetFlags(0)
	var p plan
	if err := json.NewDecoder(os.Stdin).Decode(&p); err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(p.Seconds*float64(time.Second)))
	defer cancel()
	r, err := run(ctx, p)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(r)
	}
	if err != nil {
		cancel()
		log.Fatal(err)
	}
}

func run(ctx context.Context, p plan) (result, error) {
	var clients [2]roomv1.RoomServiceClient // each gateway has its own connection
	for i := range clients {
		conn, err := mesh.Dial(p.Mesh, p.Certs)
		if err != nil {
			return result{}, err
		}
		defer func() { _ = conn.Close() }()
		clients[i] = roomv1.NewRoomServiceClient(conn)
	}
	total := result{Rooms: len(p.Rooms), Why: map[string]int{}}
	var mu sync.Mutex
	var group sync.WaitGroup
	places := make(chan struct{}, roomsAtOnce)
	random := rand.New(rand.NewPCG(p.Seed, 5))
	for _, room := range p.Rooms {
		late, behind := time.Duration(random.Int64N(int64(latest))), random.IntN(2)
		places <- struct{}{}
		group.Go(func() {
			defer func() { <-places }()
			one, err := fight(ctx, clients, p.Relays, room, late, behind)
			mu.Lock()
			defer mu.Unlock()
			total.add(one)
			if err != nil {
				total.Failed++
				total.Why[err.Error()]++
			}
		})
	}
	group.Wait()
	return total, nil
}

func (r *result) add(o result) {
	r.BothOpened += o.BothOpened
	r.SentOn += o.SentOn
	r.TwoHistories += o.TwoHistories
	r.Lost += o.Lost
	r.Twice += o.Twice
	r.Back += o.Back
}

// fight is one room's: the gateway that is behind comes late by a little.
func fight(
	ctx context.Context, clients [2]roomv1.RoomServiceClient, relays []string, room string, late time.Duration, behind int,
) (result, error) {
	var gateways [2]*gateway
	errs := make([]error, 2)
	var group sync.WaitGroup
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	heard := make(chan struct{}, 2) // both listen until both have heard all
	both := &meeting{met: make(chan struct{})}
	for i := range gateways {
		g := newGateway(clients[i], room, i, words*len(gateways), both, heard)
		gateways[i] = g
		group.Go(func() {
			if i == behind {
				time.Sleep(late)
			}
			errs[i] = g.run(ctx, relays[i])
		})
	}
	for range gateways {
		select {
		case <-heard:
		case <-ctx.Done():
		}
	}
	cancel()
	group.Wait()
	return judge(gateways[0], gateways[1]), errors.Join(errs...)
}

func judge(a, b *gateway) (r result) {
	if a.openedFirst && b.openedFirst {
		r.BothOpened = 1
	}
	if a.sentOn || b.sentOn {
		r.SentOn = 1
	}
	r.Back = a.back + b.back
	for _, g := range []*gateway{a, b} {
		for text := range a.answered() {
			r.count(g.heard[text])
		}
		for text := range b.answered() {
			r.count(g.heard[text])
		}
	}
	for text, at := range a.heard {
		if other := b.heard[text]; len(at) > 0 && len(other) > 0 && at[0] != other[0] {
			r.TwoHistories = 1
		}
	}
	return r
}

func (r *result) count(places []place) {
	switch {
	case len(places) == 0:
		r.Lost++
	case len(places) > 1:
		r.Twice++
	}
}
