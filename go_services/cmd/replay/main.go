// Replay plays recordings of rooms again (WORLDMESH_RELAY_RECORD_DIR) and says of each whether it comes to the same: exit
// status 1 if one does not. With -v it tells what happened, step by step.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
	"github.com/worldmesh/worldmesh/go_services/relay"
	"github.com/worldmesh/worldmesh/go_services/relay/room"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
)

var (
	errDiffers = errors.New("it comes to another state than the relay did")
	errPanics  = errors.New("the room panics, which may be why there is the recording")
)

func main() {
	verbose := flag.Bool("v", false, "tell every step")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: replay [-v] RECORDING.room ...")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	signal.Ignore(syscall.SIGPIPE) // who reads the first lines only is no error
	failed := false
	for _, path := range flag.Args() {
		out := bufio.NewWriter(os.Stdout)
		if flag.NArg() > 1 {
			fmt.Fprintln(out, path)
		}
		err := errors.Join(play(out, path, *verbose), out.Flush())
		if errors.Is(err, syscall.EPIPE) {
			break
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "error: %s: %v\n", path, err)
			failed = true
		}
	}
	if failed {
		os.Exit(1)
	}
}

func play(out io.Writer, path string, verbose bool) (err error) {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v\n%s", errPanics, p, debug.Stack())
		}
	}()
	done, err := relay.Replay(file, &nowhere{}, func(record *roomv1.RoomRecord) {
		if begin := record.GetBegin(); begin != nil {
			fmt.Fprintf(out, "room %s, epoch %d, of a relay built of %s\n", begin.GetRoomId(), begin.GetEpoch(), begin.GetBuild())
		}
		if verbose {
			fmt.Fprintln(out, time.Unix(0, record.GetTimeNs()).UTC().Format(time.RFC3339Nano), text(record))
		}
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d records; epoch %d, %d members, events up to %v; state %016x\n",
		done.Records, done.Room.Epoch(), done.Room.Len(), done.Room.Position(), done.Hash)
	switch {
	case done.Cut:
		fmt.Fprintln(out, "the recording ends within a record, which is left out: the relay was killed, or is still at it")
	case !done.Ended:
		fmt.Fprintln(out, "the recording has no end: the relay was killed, the room panicked, or it is still at it")
	case done.Hash != done.Recorded:
		return fmt.Errorf("%w: if these are not the sources of %s, check those out and replay it there", errDiffers, done.Build)
	default:
		fmt.Fprintln(out, "the relay came to the same state")
	}
	return nil
}

// text is a record for people: the frames that a room begins with, encoded for clients, are left out.
func text(record *roomv1.RoomRecord) string {
	if record.GetBegin() != nil {
		record = proto.CloneOf(record)
		for _, e := range record.GetBegin().GetTail() {
			e.Frame = nil
		}
	}
	return prototext.MarshalOptions{}.Format(record)
}

// nowhere is where what comes out of the room goes.
type nowhere struct{}

func (*nowhere) Joined(room.Link, room.In, frames.Snapshot)               {}
func (*nowhere) View(uint64, []uint32, frames.StateBatch)                 {}
func (*nowhere) Roster(uint64, []uint32, frames.Roster)                   {}
func (*nowhere) Behind(uint64) bool                                       { return false }
func (*nowhere) Refused(room.Link, room.In, commonv1.ErrorReason, string) {}
func (*nowhere) Removed(room.Link, room.In, commonv1.ErrorReason)         {}
func (*nowhere) Event(*room.Entry)                                        {}
func (*nowhere) Again(*room.Entry, uint64)                                {}
func (*nowhere) Told(*room.Entry, ...room.Link)                           {}
func (*nowhere) Done(room.Link, room.In)                                  {}
func (*nowhere) Failed(room.Link, room.In, commonv1.ErrorReason, string)  {}
func (*nowhere) Corrected(room.Link, frames.EntityState)                  {}
func (*nowhere) State(frames.StateBatch)                                  {}
