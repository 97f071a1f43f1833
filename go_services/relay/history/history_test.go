package history

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/redis/go-redis/v9"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
	"github.com/worldmesh/worldmesh/go_services/internal/kittest"
	"github.com/worldmesh/worldmesh/go_services/relay/room"
	"github.com/worldmesh/worldmesh/go_services/relay/store"
)

// TestAHistoryUnderFaultsIsLinearizable has relays fight for a room in a real server that is stopped again and again, and
// looks whether all that they were told can have happened one after another.
func TestAHistoryUnderFaultsIsLinearizable(t *testing.T) {
	for seed := range uint64(5) {
		folder := t.TempDir()
		fight(t, folder, seed, nil)
		report, err := CheckFolder(folder, 0, math.MaxInt64, time.Minute)
		if err != nil || !report.Linearizable {
			t.Fatalf("seed %d: %+v, %v", seed, report, err)
		}
		t.Logf("seed %d: %+v", seed, report)
	}
}

// TestABrokenStoreIsNotLinearizable is the check of the check: an append that does not look at the epoch.
func TestABrokenStoreIsNotLinearizable(t *testing.T) {
	for seed := range uint64(10) {
		folder := t.TempDir()
		fight(t, folder, seed, func(s store.Store) store.Store { return unfenced{s} })
		if report, err := CheckFolder(folder, 0, math.MaxInt64, time.Minute); err == nil && !report.Linearizable {
			t.Logf("seed %d: %s", seed, report.Why)
			return
		}
	}
	t.Error("nobody notices")
}

// unfenced appends for whoever owns the room.
type unfenced struct{ store.Store }

func (u unfenced) Append(ctx context.Context, id string, owner store.Owner, entries []*room.Entry, lost []store.Lost) error {
	if owners, err := u.Owners(ctx, []string{id}); err == nil {
		owner = owners[id].Owner
	}
	return u.Store.Append(ctx, id, owner, entries, lost)
}

// fight records what some relays ask for at once, and are told.
func fight(t *testing.T, folder string, seed uint64, spoil func(store.Store) store.Store) {
	t.Helper()
	server := kittest.StartValkey(t)
	ctx, cancel := context.WithTimeout(context.Background(), 1500*time.Millisecond)
	defer cancel()
	var group sync.WaitGroup
	for i := range 4 {
		client := redis.NewClient(&redis.Options{
			Addr: server.Addr, MaxRetries: -1, ReadTimeout: 30 * time.Millisecond, ContextTimeoutEnabled: true,
		})
		defer func() { _ = client.Close() }()
		var rooms store.Store = store.NewRedis(client, client)
		if spoil != nil {
			rooms = spoil(rooms)
		}
		f := &fighter{random: rand.New(rand.NewPCG(seed, uint64(i))), me: store.Owner{Relay: fmt.Sprint("relay-", i), Incarnation: "1"}}
		recorded, err := Record(folder, f.me, rooms, slog.Default())
		if err != nil {
			t.Fatal(err)
		}
		f.store = recorded
		group.Go(func() {
			for ctx.Err() == nil && f.act() { // who does not know what happened starts anew, as another; here it just ends
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
}

// fighter is one relay.
type fighter struct {
	store  store.Store
	random *rand.Rand
	me     store.Owner
	last   frames.LogPosition
	other  uint64 // the epoch of another owner
}

// act does something; false if what became of it is not known.
func (f *fighter) act() bool {
	ctx := context.Background()
	switch {
	case f.me.Epoch == 0 || f.random.IntN(20) == 0:
		q := store.ClaimRequest{Room: "room", Owner: f.me}
		if f.random.IntN(4) == 0 {
			q.StealAfter = f.other
		}
		c, err := f.store.Claim(ctx, q)
		f.other = c.Owner.Epoch
		if c.Granted {
			f.me.Epoch, f.last = c.Owner.Epoch, c.Last
		}
		return err == nil
	case f.random.IntN(12) == 0:
		err := f.store.Release(ctx, "room", f.me, f.last)
		f.me.Epoch = 0
		return outcome(err).Outcome != Unknown
	case f.random.IntN(12) == 0:
		_, err := f.store.Owners(ctx, []string{"room"})
		return err == nil
	default:
		next := &room.Entry{LogPosition: frames.LogPosition{Epoch: f.me.Epoch, Seq: f.last.Seq + 1}, After: f.last.Sub, TimeMS: 1}
		if f.random.IntN(3) == 0 {
			next.Seq, next.Sub = f.last.Seq, f.last.Sub+1
		}
		err := f.store.Append(ctx, "room", f.me, []*room.Entry{next}, nil)
		switch outcome(err).Outcome {
		case OK:
			f.last = next.LogPosition
		case Unknown:
			return false
		default:
			f.me.Epoch = 0
		}
		return true
	}
}

var (
	a = Owner{"relay-a", "1", 1}
	b = Owner{"relay-b", "1", 2}
)

func claims(o Owner, steal uint64) Asked {
	return Asked{What: Claim, Room: "room", Relay: o.Relay, Incarnation: o.Incarnation, StealAfter: steal}
}

func appends(o Owner, seq uint64) Asked {
	entries := []Entry{{Place: Place{Seq: seq}}}
	return Asked{What: Append, Room: "room", Relay: o.Relay, Incarnation: o.Incarnation, Epoch: o.Epoch, Entries: entries}
}

// at is an owner in an epoch.
func at(o Owner, epoch uint64) Owner {
	o.Epoch = epoch
	return o
}

func granted(o Owner, seq uint64) Told { return Told{Outcome: OK, Owner: o, Last: Place{Seq: seq}} }

// TestForgedHistoriesAreNot is what the check must see, and what it must let pass.
func TestForgedHistoriesAreNot(t *testing.T) {
	ok, unknown := Told{Outcome: OK}, Told{Outcome: Unknown}
	cases := map[string]struct {
		ops  []Op
		want porcupine.CheckResult
	}{
		"all is well": {[]Op{
			{Asked: claims(a, 0), Told: granted(a, 0)}, {Asked: appends(a, 1), Told: ok}, {Asked: claims(b, 1), Told: granted(b, 1)},
			{Asked: appends(a, 2), Told: Told{Outcome: Fenced}}, {Asked: appends(b, 2), Told: ok},
		}, porcupine.Ok},
		"a second owner in the same epoch": {[]Op{
			{Asked: claims(a, 0), Told: granted(a, 0)}, {Asked: claims(b, 0), Told: granted(Owner{b.Relay, "1", 1}, 0)},
		}, porcupine.Illegal},
		"an owner that was robbed and still writes": {[]Op{
			{Asked: claims(a, 0), Told: granted(a, 0)}, {Asked: claims(b, 1), Told: granted(b, 0)}, {Asked: appends(a, 1), Told: ok},
		}, porcupine.Illegal},
		"a write that is lost": {[]Op{
			{Asked: claims(a, 0), Told: granted(a, 0)}, {Asked: appends(a, 1), Told: ok}, {Asked: claims(b, 1), Told: granted(b, 0)},
		}, porcupine.Illegal},
		"a write without an answer that is there": {[]Op{
			{Asked: claims(a, 0), Told: granted(a, 0)}, {Asked: appends(a, 1), Told: unknown}, {Asked: claims(b, 1), Told: granted(b, 1)},
		}, porcupine.Ok},
		"a write without an answer that is not there": {[]Op{
			{Asked: claims(a, 0), Told: granted(a, 0)}, {Asked: appends(a, 1), Told: unknown}, {Asked: claims(b, 1), Told: granted(b, 0)},
		}, porcupine.Ok},
		"a claim without an answer that is there, in some epoch": {[]Op{
			{Asked: claims(a, 0), Told: unknown}, {Asked: claims(b, 0), Told: Told{Outcome: Refused, Owner: at(a, 7)}},
			{Asked: claims(b, 7), Told: granted(at(b, 9), 0)}, {Asked: appends(at(a, 7), 1), Told: Told{Outcome: Fenced}},
		}, porcupine.Ok},
		"a claim without an answer that is in two epochs": {[]Op{
			{Asked: claims(a, 0), Told: unknown}, {Asked: claims(b, 0), Told: Told{Outcome: Refused, Owner: at(a, 7)}},
			{Asked: claims(b, 0), Told: Told{Outcome: Refused, Owner: at(a, 8)}},
		}, porcupine.Illegal},
		"a claim without an answer that fences who came before": {[]Op{
			{Asked: claims(a, 0), Told: granted(a, 0)}, {Asked: claims(b, 1), Told: unknown},
			{Asked: appends(a, 1), Told: Told{Outcome: Fenced}}, {Asked: appends(at(b, 5), 1), Told: ok},
		}, porcupine.Ok},
		"a claim without an answer by which nobody is fenced": {[]Op{
			{Asked: claims(a, 0), Told: granted(a, 0)}, {Asked: claims(b, 1), Told: unknown},
			{Asked: appends(a, 1), Told: Told{Outcome: Fenced}}, {Asked: appends(a, 1), Told: ok},
		}, porcupine.Illegal},
		"an epoch that goes back": {[]Op{
			{Asked: claims(at(a, 5), 0), Told: granted(at(a, 5), 0)}, {Asked: claims(b, 5), Told: granted(at(b, 4), 0)},
		}, porcupine.Illegal},
		"an epoch of an older era": {[]Op{
			{Asked: Asked{What: Claim, Room: "room", Relay: a.Relay, Incarnation: "1", First: 9}, Told: granted(at(a, 8), 0)},
		}, porcupine.Illegal},
		"a store that forgets what nobody saw it forget": {[]Op{
			{Asked: claims(a, 0), Told: granted(a, 0)}, {Asked: appends(a, 1), Told: Told{Outcome: Forgotten}},
		}, porcupine.Illegal},
		"a store that is flushed": {[]Op{
			{Asked: claims(a, 0), Told: granted(a, 0)}, {Asked: Asked{What: Flush}, Told: ok},
			{Asked: appends(a, 1), Told: Told{Outcome: Forgotten}},
		}, porcupine.Ok},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			for i := range c.ops {
				c.ops[i].Called, c.ops[i].Return = int64(2*i), int64(2*i+1)
			}
			if got := Check(c.ops, time.Minute); got != c.want {
				t.Errorf("it is %s", got)
			}
		})
	}
}

// TestAFileOfAKilledRelayHasUnknownEnds reads a file that ends in the middle of a line.
func TestAFileOfAKilledRelayHasUnknownEnds(t *testing.T) {
	folder := t.TempDir()
	text := file(t, line{ID: 1, Time: 1, Asked: new(claims(a, 0))}, line{ID: 1, Time: 2, Told: new(granted(a, 0))},
		line{ID: 2, Time: 3, Asked: new(appends(a, 1))})
	write(t, folder, "relay-a-1.jsonl", append(text, `{"id":2,"ti`...))
	write(t, folder, "relay-b-1.jsonl", file(t, line{ID: 1, Time: 4, Asked: new(claims(b, 1))}, line{ID: 1, Time: 5, Told: new(granted(b, 1))}))
	report, err := CheckFolder(folder, 0, math.MaxInt64, time.Minute)
	if err != nil || report != (Report{Ops: 3, Unknown: 1, Rooms: 1, Linearizable: true}) {
		t.Errorf("%+v, %v", report, err)
	}
}

// TestAFileThatCanNotBeWrittenToIsNotAllOfAHistory though what is in it is linearizable.
func TestAFileThatCanNotBeWrittenToIsNotAllOfAHistory(t *testing.T) {
	folder := t.TempDir()
	me := store.Owner{Relay: "relay-a", Incarnation: "1"}
	r, err := Record(folder, me, store.NewMemory(time.Now), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Claim(t.Context(), store.ClaimRequest{Room: "room", Owner: me}); err != nil {
		t.Fatal(err)
	}
	if report, err := CheckFolder(folder, 0, math.MaxInt64, time.Minute); err != nil || !report.Linearizable {
		t.Fatalf("%+v, %v", report, err)
	}
	if err := r.file.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Owners(t.Context(), []string{"room"}); err != nil {
		t.Fatal(err)
	}
	if report, err := CheckFolder(folder, 0, math.MaxInt64, time.Minute); !errors.Is(err, ErrTruncated) {
		t.Errorf("%+v, %v", report, err)
	}
}

// TestWithoutAHistoryNothingIsKnown must not pass for a success.
func TestWithoutAHistoryNothingIsKnown(t *testing.T) {
	if report, err := CheckFolder(t.TempDir(), 0, math.MaxInt64, time.Minute); err != nil || report.Linearizable {
		t.Errorf("%+v, %v", report, err)
	}
}

// TestAfterAFailOverNothingIsChecked for the store may have forgotten.
func TestAfterAFailOverNothingIsChecked(t *testing.T) {
	folder := t.TempDir()
	write(t, folder, "relay-a-1.jsonl", file(t,
		line{ID: 1, Time: 1, Asked: new(claims(a, 0))}, line{ID: 1, Time: 2, Told: new(granted(a, 0))},
		line{ID: 2, Time: 3, Asked: new(appends(a, 1))}, line{ID: 2, Time: 7, Told: &Told{Outcome: OK}},
		line{ID: 3, Time: 8, Asked: new(claims(a, 0))}, line{ID: 3, Time: 9, Told: new(granted(at(a, 9), 0))},
	))
	write(t, folder, "world.jsonl", file(t, line{ID: 1, Time: 5, Asked: &Asked{What: FailOver}}))
	report, err := CheckFolder(folder, 0, math.MaxInt64, time.Minute)
	if err != nil || report != (Report{Ops: 2, Unchecked: 1, Unknown: 1, Rooms: 1, Linearizable: true}) {
		t.Errorf("%+v, %v", report, err)
	}
}

// TestNoEpochIsGivenTwice though nothing else is checked of what came after a fail-over or a flush.
func TestNoEpochIsGivenTwice(t *testing.T) {
	for _, what := range []What{FailOver, Flush} {
		folder := t.TempDir()
		write(t, folder, "world.jsonl", file(t, line{ID: 1, Time: 5, Asked: &Asked{What: what}}, line{ID: 1, Time: 6, Told: &Told{Outcome: OK}}))
		write(t, folder, "relay-a-1.jsonl", file(t,
			line{ID: 1, Time: 1, Asked: new(claims(a, 0))}, line{ID: 1, Time: 2, Told: new(granted(at(a, 7), 0))},
		))
		again := func(epoch uint64) (Report, error) {
			write(t, folder, "relay-b-1.jsonl", file(t,
				line{ID: 1, Time: 8, Asked: new(claims(b, 0))}, line{ID: 1, Time: 9, Told: new(granted(at(b, epoch), 0))},
			))
			return CheckFolder(folder, 0, math.MaxInt64, time.Minute)
		}
		if report, err := again(8); err != nil || !report.Linearizable {
			t.Errorf("%s: %+v, %v", what, report, err)
		}
		if report, err := again(7); err != nil || report.Linearizable {
			t.Errorf("%s: nobody notices: %+v, %v", what, report, err)
		}
	}
}

// TestRoomsThatBeganAfterAFailOverAreChecked, for it had nothing of them to forget; and only those of the run that is asked
// for are counted.
func TestRoomsThatBeganAfterAFailOverAreChecked(t *testing.T) {
	later := func(asked Asked) *Asked {
		asked.Room = "room_later"
		return &asked
	}
	folder := t.TempDir()
	world := file(t, line{ID: 1, Time: 5, Asked: &Asked{What: FailOver}}, line{ID: 1, Time: 6, Told: &Told{Outcome: OK}})
	write(t, folder, "world.jsonl", world)
	before := []line{{ID: 1, Time: 1, Asked: new(claims(a, 0))}, {ID: 1, Time: 2, Told: new(granted(a, 0))}}
	write(t, folder, "relay-a-1.jsonl", file(t, append(before,
		line{ID: 2, Time: 8, Asked: later(claims(a, 0))}, line{ID: 2, Time: 9, Told: new(granted(a, 0))},
	)...))
	report, err := CheckFolder(folder, 7, math.MaxInt64, time.Minute)
	if err != nil || report != (Report{Ops: 1, Rooms: 1, Linearizable: true}) {
		t.Errorf("%+v, %v", report, err)
	}
	if report, err = CheckFolder(folder, 10, math.MaxInt64, time.Minute); err != nil || report.Linearizable {
		t.Errorf("there is nothing of that run: %+v, %v", report, err)
	}
	write(t, folder, "relay-b-1.jsonl", file(t, line{ID: 1, Time: 10, Asked: later(claims(b, 0))}, line{ID: 1, Time: 11, Told: new(granted(b, 0))}))
	if report, err = CheckFolder(folder, 7, math.MaxInt64, time.Minute); err != nil || report.Linearizable {
		t.Errorf("two were told that it is theirs: %+v, %v", report, err)
	}
}

// TestFilesThatAreStillWrittenToAreReadUpToOneTime for what one relay has done by then, another may know of a moment later.
func TestFilesThatAreStillWrittenToAreReadUpToOneTime(t *testing.T) {
	folder := t.TempDir()
	write(t, folder, "relay-a-1.jsonl", file(t, // as it was when it was read: the release is not in it yet
		line{ID: 1, Time: 1, Asked: new(claims(a, 0))}, line{ID: 1, Time: 2, Told: new(granted(a, 0))},
		line{ID: 2, Time: 3, Asked: new(appends(a, 1))}, line{ID: 2, Time: 5, Told: &Told{Outcome: OK}},
	))
	write(t, folder, "relay-b-1.jsonl", file(t, line{ID: 1, Time: 8, Asked: new(claims(b, 0))}, line{ID: 1, Time: 9, Told: new(granted(b, 1))}))
	if report, err := CheckFolder(folder, 0, math.MaxInt64, time.Minute); err != nil || report.Linearizable {
		t.Errorf("it was never released: %+v, %v", report, err)
	}
	if report, err := CheckFolder(folder, 0, 7, time.Minute); err != nil || report != (Report{Ops: 2, Rooms: 1, Linearizable: true}) {
		t.Errorf("%+v, %v", report, err)
	}
	if report, err := CheckFolder(folder, 0, 4, time.Minute); err != nil || report != (Report{Ops: 2, Unknown: 1, Rooms: 1, Linearizable: true}) {
		t.Errorf("what was answered later: %+v, %v", report, err)
	}
}

func file(t *testing.T, lines ...line) []byte {
	t.Helper()
	var all []byte
	for _, l := range lines {
		raw, err := json.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		all = slices.Concat(all, raw, []byte("\n"))
	}
	return all
}

func write(t *testing.T, folder, name string, text []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(folder, name), text, 0o600); err != nil {
		t.Fatal(err)
	}
}
