// Package history records what relays ask of the store and are told, and says whether all of that can have happened one
// after another: whether it is linearizable. Tests under faults check the store by it, and real relays.
package history

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/worldmesh/worldmesh/go_services/internal/frames"
	"github.com/worldmesh/worldmesh/go_services/relay/room"
	"github.com/worldmesh/worldmesh/go_services/relay/store"
	"golang.org/x/sys/unix"
)

// maxBytes bounds the size of a file.
const maxBytes = 256 << 20

// truncated is the end of the name of a file that lacks the rest. A name needs no room on a disk that has none left.
const truncated = ".truncated"

// line is a line of a file: a question when it is asked, and an answer when it comes. A question without an answer is of
// a relay that was killed meanwhile.
type line struct {
	ID uint64 `json:"id"`
	// Time is by CLOCK_MONOTONIC, which all processes of a machine share, in nanoseconds.
	Time  int64  `json:"time"`
	Asked *Asked `json:"asked,omitempty"`
	Told  *Told  `json:"told,omitempty"`
}

// Recorder is a store that keeps what is asked of another, for rooms: leases are not recorded.
type Recorder struct {
	store.Store

	mu    sync.Mutex
	file  *os.File
	last  uint64
	bytes int
	over  bool // no more is written
	log   *slog.Logger
}

// Record has everything that a relay asks of a store be written into a file of a folder.
func Record(folder string, me store.Owner, s store.Store, log *slog.Logger) (*Recorder, error) {
	name := filepath.Join(folder, fmt.Sprintf("%s-%s.jsonl", filepath.Base(me.Relay), me.Incarnation))
	file, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("record the history: %w", err)
	}
	return &Recorder{Store: s, file: file, log: log}, nil
}

// Now is the time of the machine's processes.
func Now() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		panic(err) // there is no Linux without it
	}
	return t.Nano()
}

func (r *Recorder) asks(q Asked) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last++
	r.write(line{ID: r.last, Time: Now(), Asked: &q})
	return r.last
}

func (r *Recorder) told(id uint64, a Told) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.write(line{ID: id, Time: Now(), Told: &a})
}

// write is at once in the file: what a killed relay has asked must be known.
func (r *Recorder) write(l line) {
	if r.over {
		return
	}
	raw, err := json.Marshal(l)
	if err == nil {
		_, err = r.file.Write(append(raw, '\n'))
	}
	if r.bytes += len(raw) + 1; err == nil && r.bytes > maxBytes {
		err = ErrTruncated
	}
	if err != nil { // else what there is would pass as all
		r.over = true
		name := r.file.Name()
		err = errors.Join(err, r.file.Close(), os.Rename(name, name+truncated))
		r.log.Error("record the history", "file", name, "error", err.Error())
	}
}

// Claim is store.Rooms.Claim.
func (r *Recorder) Claim(ctx context.Context, q store.ClaimRequest) (store.Claim, error) {
	asked := Asked{
		What: Claim, Room: q.Room, Relay: q.Owner.Relay, Incarnation: q.Owner.Incarnation, Held: q.Held,
		First: q.Era * store.EpochsPerEra, StealAfter: q.StealAfter,
	}
	if q.Held != 0 {
		asked.Last = placeOf(q.Past.Last)
	}
	id := r.asks(asked)
	claim, err := r.Store.Claim(ctx, q)
	told := outcome(err)
	if err == nil {
		told = Told{Outcome: Refused, Owner: ownerOf(claim.Owner)}
		if claim.Granted {
			told.Outcome, told.Last = OK, placeOf(claim.Last)
		}
	}
	r.told(id, told)
	return claim, err
}

// Append is store.Rooms.Append.
func (r *Recorder) Append(ctx context.Context, id string, owner store.Owner, entries []*room.Entry, lost []store.Lost) error {
	asked := Asked{What: Append, Room: id, Relay: owner.Relay, Incarnation: owner.Incarnation, Epoch: owner.Epoch}
	for _, e := range entries {
		asked.Entries = append(asked.Entries, Entry{placeOf(e.LogPosition), e.After})
	}
	number := r.asks(asked)
	err := r.Store.Append(ctx, id, owner, entries, lost)
	r.told(number, outcome(err))
	return err
}

// Release is store.Rooms.Release.
func (r *Recorder) Release(ctx context.Context, id string, owner store.Owner, last frames.LogPosition) error {
	number := r.asks(Asked{
		What: Release, Room: id, Relay: owner.Relay, Incarnation: owner.Incarnation, Epoch: owner.Epoch, Last: placeOf(last),
	})
	err := r.Store.Release(ctx, id, owner, last)
	r.told(number, outcome(err))
	return err
}

// Owners is store.Rooms.Owners: a question for each room.
func (r *Recorder) Owners(ctx context.Context, rooms []string) (map[string]store.Ownership, error) {
	numbers := make([]uint64, len(rooms))
	for i, id := range rooms {
		numbers[i] = r.asks(Asked{What: Look, Room: id})
	}
	owners, err := r.Store.Owners(ctx, rooms)
	for i, number := range numbers {
		told := outcome(err)
		if owned, has := owners[rooms[i]]; has {
			told = Told{Outcome: OK, Owner: ownerOf(owned.Owner), Last: placeOf(owned.Last)}
		}
		r.told(number, told)
	}
	return owners, err
}

func outcome(err error) Told {
	switch {
	case err == nil:
		return Told{Outcome: OK}
	case errors.Is(err, store.ErrFenced):
		return Told{Outcome: Fenced}
	case errors.Is(err, store.ErrForgotten):
		return Told{Outcome: Forgotten}
	default:
		return Told{Outcome: Unknown}
	}
}

func placeOf(p frames.LogPosition) Place { return Place{p.Seq, p.Sub} }

func ownerOf(o store.Owner) Owner { return Owner{o.Relay, o.Incarnation, o.Epoch} }
