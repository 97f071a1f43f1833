package history

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
	Ops          int    `json:"history_ops"`
	Unknown      int    `json:"history_unknown"`
	Rooms        int    `json:"history_rooms"`
	Linearizable bool   `json:"linearizable"`
	Why          string `json:"history_why,omitempty"`
}

// CheckFolder reads all files of a folder, and checks each room. What came after a fail-over is left out: the store may
// have forgotten what it likes.
func CheckFolder(folder string, timeout time.Duration) (Report, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.jsonl"))
	if err != nil {
		return Report{}, err
	}
	var ops []Op
	for i, name := range files {
		own, err := readFile(name, i)
		if err != nil {
			return Report{}, fmt.Errorf("%s: %w", filepath.Base(name), err)
		}
		ops = append(ops, own...)
	}
	rooms, report := byRoom(ops), Report{Linearizable: true}
	until := time.Now().Add(timeout)
	for id, history := range rooms {
		report.Rooms++
		report.Ops += len(history)
		for _, op := range history {
			if op.Told.Outcome == Unknown {
				report.Unknown++
			}
		}
		if result := Check(history, max(time.Until(until), time.Second)); result != porcupine.Ok {
			report.Linearizable = false
			report.Why = fmt.Sprintf("the history of %s, of %d operations, is %s", id, len(history), result)
		}
	}
	if report.Ops == 0 {
		report.Linearizable, report.Why = false, "there is no history"
	}
	return report, nil
}

// byRoom sorts operations by their rooms; what befell the store befell each.
func byRoom(ops []Op) map[string][]Op {
	rooms, over := map[string][]Op{}, int64(0)
	for _, op := range ops {
		if op.Asked.What == FailOver && (over == 0 || op.Called < over) {
			over = op.Called
		}
	}
	ops = slices.DeleteFunc(ops, func(op Op) bool { return over != 0 && op.Called >= over })
	for _, op := range ops {
		if op.Asked.Room == "" {
			continue
		}
		if over != 0 && op.Return >= over { // what it was told may be of after
			op.Told = Told{Outcome: Unknown}
		}
		rooms[op.Asked.Room] = append(rooms[op.Asked.Room], op)
	}
	for id := range rooms {
		for _, op := range ops {
			if op.Asked.What == Flush {
				rooms[id] = append(rooms[id], op)
			}
		}
	}
	return rooms
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
		case l.Truncated:
			return nil, ErrTruncated
		case l.Asked != nil:
			open[l.ID] = len(ops)
			ops = append(ops, Op{Client: client, Asked: *l.Asked, Told: Told{Outcome: Unknown}, Called: l.Time})
		case l.Told != nil && asked:
			ops[i].Told, ops[i].Return = *l.Told, l.Time
			delete(open, l.ID)
		}
	}
}
