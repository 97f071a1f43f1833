package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/redis/go-redis/v9"
	"github.com/worldmesh/worldmesh/go_services/internal/kittest"
	"github.com/worldmesh/worldmesh/go_services/relay/room"
)

// What a relay asks of the store for one room, and what it is told.
type (
	asked struct {
		what  string // claim, append, release
		relay string
		epoch uint64 // of the owner, or, to claim, of the one that is believed dead
		seq   uint64 // to append, or that the log should end at
	}
	told struct {
		unknown bool // no answer: it may have happened, or happen yet
		ok      bool
		fenced  bool
		epoch   uint64
		relay   string
		seq     uint64
	}
	// kept is a room as the contract of Rooms has it.
	kept struct {
		epoch uint64
		relay string
		seq   uint64
	}
)

// contract is the store of one room, one step at a time.
var contract = porcupine.NondeterministicModel{
	Init: func() []any { return []any{kept{}} },
	Step: func(state, input, output any) []any {
		s, q, a := state.(kept), input.(asked), output.(told)
		next, want := s.step(q)
		switch {
		case a.unknown:
			return []any{s, next}
		case want == a:
			return []any{next}
		default:
			return nil
		}
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v → %+v", input, output) },
}

func (s kept) step(q asked) (kept, told) {
	switch q.what {
	case "claim":
		if s.relay != "" && s.relay != q.relay && (q.epoch == 0 || q.epoch != s.epoch) {
			return s, told{epoch: s.epoch, relay: s.relay}
		}
		next := kept{epoch: s.epoch + 1, relay: q.relay, seq: s.seq}
		return next, told{ok: true, epoch: next.epoch, relay: q.relay, seq: s.seq}
	case "append":
		if s.epoch != q.epoch || s.relay != q.relay {
			return s, told{fenced: true}
		}
		if q.seq == s.seq+1 {
			s.seq++
		}
		return s, told{ok: true}
	default:
		if s.epoch != q.epoch || s.relay != q.relay {
			return s, told{fenced: true}
		}
		return kept{epoch: s.epoch, seq: s.seq}, told{ok: true}
	}
}

// TestAHistoryUnderFaultsIsLinearizable has relays fight for a room in a real server that is stopped again and again, and
// looks whether all that they were told can have happened one after another.
func TestAHistoryUnderFaultsIsLinearizable(t *testing.T) {
	for seed := range uint64(5) {
		history := fight(t, seed, nil)
		result, _ := porcupine.CheckOperationsVerbose(contract.ToModel(), history, time.Minute)
		if result != porcupine.Ok {
			t.Fatalf("seed %d: a history of %d operations is %s", seed, len(history), result)
		}
		unknown := 0
		for _, op := range history {
			if op.Output.(told).unknown {
				unknown++
			}
		}
		t.Logf("seed %d: %d operations, %d without an answer", seed, len(history), unknown)
	}
}

// TestABrokenStoreIsNotLinearizable is the check of the check: an append that does not look at the epoch.
func TestABrokenStoreIsNotLinearizable(t *testing.T) {
	for seed := range uint64(10) {
		history := fight(t, seed, func(s *Redis, owner Owner) Owner {
			owners, err := s.Owners(context.Background(), []string{"room"})
			if err != nil {
				return owner
			}
			return owners[0].Owner
		})
		if porcupine.CheckOperationsTimeout(contract.ToModel(), history, time.Minute) == porcupine.Illegal {
			return
		}
	}
	t.Error("nobody notices")
}

// fight records what some relays ask for at once, and are told.
func fight(t *testing.T, seed uint64, spoil func(*Redis, Owner) Owner) []porcupine.Operation {
	t.Helper()
	server := kittest.StartValkey(t)
	ctx, cancel := context.WithTimeout(context.Background(), 1500*time.Millisecond)
	defer cancel()
	var mu sync.Mutex
	var history []porcupine.Operation
	start := time.Now()
	var group sync.WaitGroup
	for i := range 4 {
		client := redis.NewClient(&redis.Options{
			Addr: server.Addr, MaxRetries: -1, ReadTimeout: 30 * time.Millisecond, ContextTimeoutEnabled: true,
		})
		defer func() { _ = client.Close() }()
		f := &fighter{
			store: NewRedis(client), random: rand.New(rand.NewPCG(seed, uint64(i))), spoil: spoil,
			me: Owner{Relay: fmt.Sprint("relay-", i), Incarnation: "1"},
		}
		group.Go(func() {
			for ctx.Err() == nil {
				q := f.next()
				called := time.Since(start).Nanoseconds()
				a := f.ask(q)
				returned := time.Since(start).Nanoseconds()
				if a.unknown {
					returned = int64(time.Hour) // it may still happen
				}
				mu.Lock()
				history = append(history, porcupine.Operation{ClientId: i, Input: q, Call: called, Output: a, Return: returned})
				mu.Unlock()
				if a.unknown {
					return // who does not know what happened starts anew, as another; here it just ends
				}
				time.Sleep(time.Duration(f.random.IntN(3)) * time.Millisecond)
			}
		})
	}
	group.Go(func() { // the server stops for moments that some of them do not wait for
		random := rand.New(rand.NewPCG(seed, 99))
		for ctx.Err() == nil {
			time.Sleep(time.Duration(100+random.IntN(300)) * time.Millisecond)
			_ = server.Process.Signal(syscall.SIGSTOP)
			time.Sleep(time.Duration(random.IntN(60)) * time.Millisecond)
			_ = server.Process.Signal(syscall.SIGCONT)
		}
	})
	group.Wait()
	return history
}

// fighter is one relay.
type fighter struct {
	store  *Redis
	random *rand.Rand
	spoil  func(*Redis, Owner) Owner
	me     Owner
	seq    uint64
	other  uint64 // the epoch of another owner
}

func (f *fighter) next() asked {
	q := asked{relay: f.me.Relay, epoch: f.me.Epoch, seq: f.seq + 1}
	switch {
	case f.me.Epoch == 0 || f.random.IntN(20) == 0:
		q.what, q.epoch, q.seq = "claim", 0, 0
		if f.other != 0 && f.random.IntN(4) == 0 {
			q.epoch = f.other
		}
	case f.random.IntN(12) == 0:
		q.what, q.seq = "release", f.seq
	default:
		q.what = "append"
	}
	return q
}

func (f *fighter) ask(q asked) told {
	ctx := context.Background()
	switch q.what {
	case "claim":
		c, err := f.store.Claim(ctx, ClaimRequest{Room: "room", Owner: f.me, StealAfter: q.epoch})
		if err != nil {
			return told{unknown: true}
		}
		f.other = c.Owner.Epoch
		if c.Granted {
			f.me.Epoch, f.seq = c.Owner.Epoch, c.Last.Seq
		}
		return told{ok: c.Granted, epoch: c.Owner.Epoch, relay: c.Owner.Relay, seq: c.Last.Seq}
	case "append":
		owner := f.me
		if f.spoil != nil {
			owner = f.spoil(f.store, owner)
		}
		entry := &room.Entry{LogPosition: at(f.me.Epoch, q.seq, 0), TimeMS: 1, Frame: []byte("x")}
		return f.answer(f.store.Append(ctx, "room", owner, []*room.Entry{entry}), func() { f.seq++ })
	default:
		return f.answer(f.store.Release(ctx, "room", f.me, at(f.me.Epoch, q.seq, 0)), func() { f.me.Epoch = 0 })
	}
}

func (f *fighter) answer(err error, then func()) told {
	switch {
	case err == nil:
		then()
		return told{ok: true}
	case errors.Is(err, ErrFenced):
		f.me.Epoch = 0
		return told{fenced: true}
	default:
		return told{unknown: true}
	}
}
