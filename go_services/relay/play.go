package relay

import (
	"context"
	"math"
	"slices"
	"time"

	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
	"github.com/worldmesh/worldmesh/go_services/internal/kit"
	"github.com/worldmesh/worldmesh/go_services/relay/room"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

var tracer = otel.Tracer("github.com/worldmesh/worldmesh/go_services/relay")

const (
	// maxValues bounds what an application syncs with an entity, in bytes; the same stands in the contract.
	maxValues = 256
	// maxInputs bounds the inputs of a message, and its steps; the same stands in the contract.
	maxInputs = 4096
)

// play gives a batch of inputs to the room. Each is checked by itself: what one client got wrong is answered to that
// client. It fails if the batch is none that a gateway should send.
func (s *server) play(live *liveRoom, st *stream, batch *roomv1.AttachRequest_Inputs) error {
	if err := checkBatch(batch); err != nil {
		return err
	}
	s.metrics.steps.Add(float64(len(batch.GetSteps().GetLinks())))
	live.play(st, batch, func(link room.Link, in *roomv1.Input) bool { return s.valid(live, link, in) })
	return nil
}

// checkBatch looks for what no gateway should send: more than the contract has, and lists that do not agree.
func checkBatch(batch *roomv1.AttachRequest_Inputs) error {
	s, before, inputs := batch.GetSteps(), batch.GetStepsBefore(), len(batch.GetInputs())
	n, bytes := len(s.GetLinks()), 0
	if n > maxInputs || inputs > maxInputs {
		return errTooMany
	}
	for _, size := range s.GetValueSizes() {
		bytes += int(size)
	}
	alike := len(s.GetX()) == n && len(s.GetY()) == n && len(s.GetZ()) == n && len(s.GetYaws()) == n && len(s.GetAnimations()) == n
	if sizes := len(s.GetValueSizes()); !alike || sizes != n && sizes != 0 || bytes != len(s.GetValues()) {
		return errSteps
	}
	if len(before) > 0 && (len(before) != inputs || !slices.IsSorted(before) || before[inputs-1] > uint32(n)) {
		return errSteps
	}
	return nil
}

// inOrder goes through what came in one message, which must have been checked, in its order. Of a step that is out of the
// contract's bounds it tells the link only.
func inOrder(
	batch *roomv1.AttachRequest_Inputs, step func(link uint32, move room.Move), outOfBounds func(link uint32),
	input func(i int, in *roomv1.Input),
) {
	s := batch.GetSteps()
	values, next := s.GetValues(), 0
	stepsTo := func(n int) {
		for ; next < n; next++ {
			move := room.Move{Position: frames.Vec3{X: s.X[next], Y: s.Y[next], Z: s.Z[next]}}
			if len(s.GetValueSizes()) > 0 {
				move.Values, values = values[:s.ValueSizes[next]], values[s.ValueSizes[next]:]
			}
			yaw, animation := s.Yaws[next], s.Animations[next]
			if yaw > math.MaxUint16 || animation > math.MaxUint16 || len(move.Values) > maxValues {
				outOfBounds(s.Links[next])
				continue
			}
			move.Yaw, move.Animation = uint16(yaw), uint16(animation)
			step(s.Links[next], move)
		}
	}
	all := len(s.GetLinks())
	for i, in := range batch.GetInputs() {
		if before := batch.GetStepsBefore(); len(before) > 0 {
			stepsTo(int(before[i]))
		} else {
			stepsTo(all)
		}
		input(i, in)
	}
	stepsTo(all)
}

// valid says whether an input is within the contract's bounds, and answers it if it is not.
func (s *server) valid(live *liveRoom, link room.Link, in *roomv1.Input) bool {
	s.metrics.inputs.WithLabelValues(kindOf(in)).Inc()
	if err := kit.ValidateMessage(s.validator, in); err != nil {
		live.out.refuse(link, in, kit.ReasonOf(err), kit.StatusOf(err).Message())
		return false
	}
	return true
}

// apply is an input as the room's core takes it.
func apply(core *room.Room, now time.Time, link room.Link, message *roomv1.Input) {
	in := room.In{RID: message.GetRid(), Number: message.GetNumber()}
	switch body := message.GetBody().(type) {
	case *roomv1.Input_State_:
		state := body.State
		p := state.GetPosition()
		core.Move(now, link, in, room.Move{
			Position: frames.Vec3{X: p.GetX(), Y: p.GetY(), Z: p.GetZ()},
			Yaw:      uint16(state.GetYaw()), Animation: uint16(state.GetAnimation()), Values: state.GetValues(),
		})
	case *roomv1.Input_Look_:
		core.Look(link, body.Look.GetView(), body.Look.GetRoster(), body.Look.GetAfterEntity())
	case *roomv1.Input_Join_:
		core.Join(now, link, in, joinOf(body.Join))
	case *roomv1.Input_Leave_:
		core.Leave(now, link, in, body.Leave.GetGatewaySessionId())
	case *roomv1.Input_Detach_:
		core.Detach(now, link, in, body.Detach.GetGatewaySessionId())
	case *roomv1.Input_Chat_:
		core.Chat(now, link, in, body.Chat.GetText(), body.Chat.GetClientMessageId())
	case *roomv1.Input_Whisper_:
		w := body.Whisper
		core.Whisper(now, link, in, w.GetTargetUserId(), w.GetText(), w.GetClientMessageId())
	case *roomv1.Input_Emote_:
		e := body.Emote
		core.Emote(now, link, in, e.GetEmoteId(), e.GetTargetUserId(), e.GetClientMessageId())
	}
}

func inputSpan(roomID string, in *roomv1.Input) trace.Span {
	if in.GetTraceparent() == "" {
		return trace.SpanFromContext(context.Background())
	}
	carrier := propagation.MapCarrier{"traceparent": in.GetTraceparent()}
	ctx := otel.GetTextMapPropagator().Extract(context.Background(), carrier)
	_, span := tracer.Start(ctx, "room "+kindOf(in), trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithAttributes(attribute.String("worldmesh.room_id", roomID)))
	return span
}

func kindOf(in *roomv1.Input) string {
	switch in.GetBody().(type) {
	case *roomv1.Input_Join_:
		return "join"
	case *roomv1.Input_Leave_:
		return "leave"
	case *roomv1.Input_Detach_:
		return "detach"
	case *roomv1.Input_State_:
		return "state"
	case *roomv1.Input_Chat_:
		return "chat"
	case *roomv1.Input_Whisper_:
		return "whisper"
	case *roomv1.Input_Emote_:
		return "emote"
	case *roomv1.Input_Look_:
		return "look"
	default:
		return "unknown"
	}
}
