package history

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// ErrTruncated tells that a file has not everything.
var ErrTruncated = errors.New("the history is truncated")

// Report is what a folder of histories comes to.
type Report struct {
	// Ops are those that were checked of rooms that began since the time that was asked for, Unchecked those of the same
	// rooms that were left out because of a fail-over.
	Ops          int    `json:"history_ops"`
	Unchecked    int    `json:"history_unchecked"`
	Unknown      int    `json:"history_unknown"`
	Rooms        int    `json:"history_rooms"`
	Linearizable bool   `json:"linearizable"`
	Why          string `json:"history_why,omitempty"`
}

// CheckFolder reads all files of a folder, and checks each room. What came after a fail-over of the store is left out, if
// the room was there before: the store may have forgotten what it likes of it; but it gives no epoch twice. Counted are
// rooms that began at `since`, by the monotonic clock, or later; a history without any operation of theirs proves nothing,
// so it is not linearizable. What happened after `until` is left out: files that are still written to are read one after
// another, and the second would tell of what came of something that the first did not tell of yet.
func CheckFolder(folder string, since, until int64, timeout time.Duration) (Report, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.jsonl"))
	if err != nil {
		return Report{}, err
	}
	parts, err := filepath.Glob(filepath.Join(folder, "*"+truncated))
	if err != nil {
		return Report{}, err
	}
	if len(parts) > 0 {
		return Report{}, fmt.Errorf("%s: %w", filepath.Base(parts[0]), ErrTruncated)
	}
	var ops []Op
	for i, name := range files {
		own, err := readFile(name, i)
		if err != nil {
			return Report{}, fmt.Errorf("%s: %w", filepath.Base(name), err)
		}
		ops = append(ops, upTo(until, own)...)
	}
	report := Report{Linearizable: true}
	limit := time.Now().Add(timeout)
	for id, all := range byRoom(ops) {
		history, unchecked := untilFailOver(all)
		if all[0].Called >= since {
			report.count(history, unchecked)
		}
		if epoch := givenTwice(all); epoch != 0 {
			report.Linearizable = false
			report.Why = fmt.Sprintf("epoch %d of %s was given twice", epoch, id)
		}
		if result := Check(history, max(time.Until(limit), time.Second)); result != porcupine.Ok {
			report.Linearizable = false
			report.Why = fmt.Sprintf("the history of %s, of %d operations, is %s", id, len(history), result)
		}
	}
	if report.Ops == 0 {
		report.Linearizable, report.Why = false, "there is no history"
	}
	return report, nil
}

// upTo is what was asked up to a time; what was answered later may have been told of, or not.
func upTo(until int64, ops []Op) []Op {
	ops = slices.DeleteFunc(ops, func(op Op) bool { return op.Called > until })
	for i := range ops {
		if ops[i].Return > until {
			ops[i].Return, ops[i].Told = 0, Told{Outcome: Unknown}
		}
	}
	return ops
}

// givenTwice is an epoch that was given twice, whatever the store has forgotten meanwhile; 0 if none was.
func givenTwice(history []Op) uint64 {
	given := map[uint64]bool{}
	for _, op := range history {
		if epoch := op.Told.Owner.Epoch; op.Asked.What == Claim && op.Told.Outcome == OK {
			if given[epoch] {
				return epoch
			}
			given[epoch] = true
		}
	}
	return 0
}

// count takes in a room: what is checked of it, and how much is not.
func (r *Report) count(history []Op, unchecked int) {
	r.Rooms++
	r.Ops += len(history)
	r.Unchecked += unchecked
	for _, op := range history {
		if op.Told.Outcome == Unknown {
			r.Unknown++
		}
	}
}

// byRoom sorts operations by their rooms and times; what befell the store befell each.
func byRoom(ops []Op) map[string][]Op {
	slices.SortStableFunc(ops, func(a, b Op) int { return cmp.Compare(a.Called, b.Called) })
	rooms := map[string][]Op{}
	for _, op := range ops {
		if op.Asked.Room != "" {
			rooms[op.Asked.Room] = append(rooms[op.Asked.Room], op)
		}
	}
	for id, history := range rooms {
		began := history[0].Called
		for _, op := range ops {
			// A fail-over that was over before the room began has nothing of it to forget, nor has a flush.
			if op.Asked.Room == "" && (op.Return == 0 || op.Return >= began) {
				rooms[id] = append(rooms[id], op)
			}
		}
	}
	return rooms
}

// untilFailOver is what was asked of a room before a fail-over, and how much after it. What was answered only then may have
// been told of then.
func untilFailOver(history []Op) (before []Op, after int) {
	over := int64(math.MaxInt64)
	for _, op := range history {
		if op.Asked.What == FailOver {
			over = min(over, op.Called)
		}
	}
	for _, op := range history {
		if op.Called >= over {
			if op.Asked.Room != "" {
				after++
			}
			continue
		}
		if op.Return >= over {
			op.Told = Told{Outcome: Unknown}
		}
		before = append(before, op)
	}
	return before, after
}

func readFile(name string, client int) ([]Op, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	return Read(file, client)
}

// Read reads a file. What was asked and not answered is unknown.
func Read(in io.Reader, client int) ([]Op, error) {
	var ops []Op
	open := map[uint64]int{}
	reader := bufio.NewReader(in)
	for {
		raw, err := reader.ReadBytes('\n')
		if err != nil { // the last line of a killed relay may be a part of one
			return ops, nil //nolint:nilerr // see above
		}
		var l line
		if err := json.Unmarshal(raw, &l); err != nil {
			return nil, err
		}
		i, asked := open[l.ID]
		switch {
		case l.Asked != nil:
			open[l.ID] = len(ops)
			ops = append(ops, Op{Client: client, Asked: *l.Asked, Told: Told{Outcome: Unknown}, Called: l.Time})
		case l.Told != nil && asked:
			ops[i].Told, ops[i].Return = *l.Told, l.Time
			delete(open, l.ID)
		}
	}
}
