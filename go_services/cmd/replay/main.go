// Replay plays the recording of a room again (WORLDMESH_RELAY_RECORD_DIR) and says whether it comes to the same: exit
// status 1 if it does not. With -v it tells what happened, step by step.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
	"github.com/worldmesh/worldmesh/go_services/relay"
	"github.com/worldmesh/worldmesh/go_services/relay/room"
	"google.golang.org/protobuf/encoding/prototext"
)

var errDiffers = errors.New("it comes to another state than the relay did")

func main() {
	verbose := flag.Bool("v", false, "tell every step")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: replay [-v] RECORDING.room")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	if err := play(flag.Arg(0), *verbose); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func play(path string, verbose bool) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	done, err := relay.Replay(file, &nowhere{}, func(record *roomv1.RoomRecord) {
		if verbose {
			fmt.Println(time.Unix(0, record.GetTimeNs()).UTC().Format(time.RFC3339Nano), prototext.MarshalOptions{}.Format(record))
		}
	})
	if err != nil {
		return err
	}
	fmt.Printf("%d records; epoch %d, %d members, events up to %v; state %016x\n",
		done.Records, done.Room.Epoch(), done.Room.Len(), done.Room.Position(), done.Hash)
	switch {
	case !done.Ended:
		fmt.Println("the recording has no end: the relay was killed, or is still at it")
	case done.Hash != done.Recorded:
		return errDiffers
	default:
		fmt.Println("the relay came to the same state")
	}
	return nil
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
