package relay

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
	"github.com/worldmesh/worldmesh/go_services/internal/kit"
	"github.com/worldmesh/worldmesh/go_services/relay/room"
	"github.com/worldmesh/worldmesh/go_services/relay/store"
	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/types/known/durationpb"
)

// maxRecording bounds the size of a recording, in bytes; past it the rest is left out.
const maxRecording = 256 << 20

// recorder writes what happens to a room into a file. A nil recorder writes nothing. The room's lock guards it.
type recorder struct {
	file  *os.File
	out   *bufio.Writer
	bytes int
	log   *slog.Logger
}

// newRecorder begins a recording; nil if there is to be none, or if it can't be written.
func newRecorder(
	folder, roomID string, cfg *roomv1.RoomConfig, hold time.Duration, now time.Time, past room.Past, log *slog.Logger,
) *recorder {
	if folder == "" {
		return nil
	}
	name := fmt.Sprintf("%s-%d.room", filepath.Base(roomID), past.Epoch)
	file, err := os.OpenFile(filepath.Join(folder, name), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		log.Error("record room", "room", roomID, "error", err.Error())
		return nil
	}
	r := &recorder{file: file, out: bufio.NewWriterSize(file, 64<<10), log: log}
	begin := &roomv1.RoomRecord_Begin{
		RoomId: roomID, Config: cfg, Hold: durationpb.New(hold), Epoch: past.Epoch, Last: positionMessage(past.Last),
		LastEntity: past.LastEntity, Complete: past.Complete, Build: kit.Build(),
		Lost: make(map[uint32]*durationpb.Duration, len(past.Lost)),
	}
	for _, m := range past.Members {
		begin.Members = append(begin.Members, store.MemberMessage(m))
	}
	for entity, ago := range past.Lost {
		begin.Lost[entity] = durationpb.New(ago)
	}
	for i := range past.Tail {
		begin.Tail = append(begin.Tail, store.EntryMessage(&past.Tail[i]))
	}
	r.step(now, &roomv1.RoomRecord{Step: &roomv1.RoomRecord_Begin_{Begin: begin}})
	r.flush()
	return r
}

// step writes one thing that happened.
func (r *recorder) step(now time.Time, record *roomv1.RoomRecord) {
	if r == nil {
		return
	}
	record.TimeNs = now.UnixNano()
	r.write(record)
}

func (r *recorder) write(record *roomv1.RoomRecord) {
	if r.bytes > maxRecording {
		return
	}
	n, err := protodelim.MarshalTo(r.out, record)
	if r.bytes += n; err != nil {
		r.stop(err)
	}
}

// flush has all be in the file that was written so far: a relay that is killed may lose only what came after it.
func (r *recorder) flush() {
	if r == nil || r.bytes > maxRecording {
		return
	}
	if err := r.out.Flush(); err != nil {
		r.stop(err)
	}
}

// stop leaves out the rest, for it can't be written.
func (r *recorder) stop(err error) {
	r.log.Error("record room", "file", r.file.Name(), "error", err.Error())
	r.bytes = maxRecording + 1
}

// end writes what the room has come to, and closes the file.
func (r *recorder) end(now time.Time, hash uint64) {
	r.step(now, &roomv1.RoomRecord{Step: &roomv1.RoomRecord_End_{End: &roomv1.RoomRecord_End{StateHash: hash}}})
	r.close()
}

// close ends the recording where it is.
func (r *recorder) close() {
	if r == nil {
		return
	}
	if err := errors.Join(r.out.Flush(), r.file.Close()); err != nil {
		r.log.Error("record room", "file", r.file.Name(), "error", err.Error())
	}
}

// Replayed is what came of a recording.
type Replayed struct {
	Records int
	// Build is of what sources the relay was built.
	Build string
	// Hash is of the room's state after the last record; Recorded what the relay said at the end, if it came to say it.
	Hash, Recorded uint64
	Ended          bool
	// Cut says that the last record is not whole, and was left out.
	Cut  bool
	Room *room.Room
}

var (
	errNoRecording = errors.New("it is no recording of a room")

	errEmpty   = errors.New("the recording is empty")
	errCut     = errors.New("the recording ends within its first record")
	errNoBegin = errors.New("the recording does not begin with `begin`")
)

// Replay plays a recording again, as far as its records are whole. What comes out of the room goes to the sink; each record is told to `each` first.
func Replay(in io.Reader, sink room.Sink, each func(*roomv1.RoomRecord)) (Replayed, error) {
	var done Replayed
	reader := bufio.NewReader(in)
	for {
		record := &roomv1.RoomRecord{}
		err := protodelim.UnmarshalOptions{MaxSize: 64 << 20}.UnmarshalFrom(reader, record)
		if done.Cut = errors.Is(err, io.ErrUnexpectedEOF); done.Cut || errors.Is(err, io.EOF) {
			break
		}
		switch {
		case err != nil && done.Records == 0:
			return done, fmt.Errorf("%w: %w", errNoRecording, err)
		case err != nil:
			return done, fmt.Errorf("record %d: %w", done.Records+1, err)
		}
		done.Records++
		each(record)
		if done.Room == nil {
			begin := record.GetBegin()
			if begin == nil {
				return done, errNoBegin
			}
			done.Build = begin.GetBuild()
			cfg := roomConfig(begin.GetConfig(), begin.GetHold().AsDuration())
			done.Room = room.New(begin.GetRoomId(), cfg, sink, time.Unix(0, record.GetTimeNs()), pastOf(begin))
			continue
		}
		if end := record.GetEnd(); end != nil {
			done.Recorded, done.Ended = end.GetStateHash(), true
			break
		}
		if err := replay(done.Room, record); err != nil {
			return done, fmt.Errorf("record %d: %w", done.Records, err)
		}
	}
	switch {
	case done.Room == nil && done.Cut:
		return done, errCut
	case done.Room == nil:
		return done, errEmpty
	}
	done.Hash = done.Room.Hash()
	return done, nil
}

func replay(core *room.Room, record *roomv1.RoomRecord) error {
	now := time.Unix(0, record.GetTimeNs())
	switch step := record.GetStep().(type) {
	case *roomv1.RoomRecord_Attached_:
		open := step.Attached.GetOpen()
		core.Attached(step.Attached.GetStream(), positionOf(open.GetSeen()), rejoinsOf(open.GetRejoins()))
	case *roomv1.RoomRecord_Played_:
		stream, batch := step.Played.GetStream(), &roomv1.AttachRequest_Inputs{
			Inputs: step.Played.GetInputs(), Steps: step.Played.GetSteps(), StepsBefore: step.Played.GetStepsBefore(),
		}
		if err := checkBatch(batch); err != nil {
			return err
		}
		inOrder(batch, func(link uint32, move room.Move) {
			core.Move(now, room.Link{Stream: stream, ID: link}, room.In{}, move)
		}, func(uint32) {}, func(_ int, in *roomv1.Input) {
			apply(core, now, room.Link{Stream: stream, ID: in.GetLink()}, in)
		})
	case *roomv1.RoomRecord_StreamEnded_:
		core.StreamEnded(now, step.StreamEnded.GetStream())
	case *roomv1.RoomRecord_Tick_:
		core.Tick()
	case *roomv1.RoomRecord_Taken_:
		core.TakeUnlogged()
	case *roomv1.RoomRecord_Logged_:
		core.Logged(int(step.Logged.GetEntries()))
	case *roomv1.RoomRecord_LogWorks_:
		core.SetLog(step.LogWorks.GetWorks())
	case *roomv1.RoomRecord_Passed_:
		core.Time(now)
	case *roomv1.RoomRecord_Reclaimed_:
		core.Reclaimed(step.Reclaimed.GetEpoch())
	}
	return nil
}

func pastOf(begin *roomv1.RoomRecord_Begin) room.Past {
	last := begin.GetLast()
	past := room.Past{
		Epoch: begin.GetEpoch(), LastEntity: begin.GetLastEntity(),
		Last:     frames.LogPosition{Epoch: last.GetEpoch(), Seq: last.GetSeq(), Sub: last.GetSub()},
		Complete: begin.GetComplete(), Lost: make(map[uint32]time.Duration, len(begin.GetLost())),
	}
	for _, m := range begin.GetMembers() {
		past.Members = append(past.Members, store.MemberOf(m))
	}
	for entity, ago := range begin.GetLost() {
		past.Lost[entity] = ago.AsDuration()
	}
	for _, e := range begin.GetTail() {
		past.Tail = append(past.Tail, store.EntryOf(e))
	}
	return past
}
