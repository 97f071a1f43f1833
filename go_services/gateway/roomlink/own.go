package roomlink

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	clientv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/client/v1"
	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
)

// Own is the newest that the room has said of the members' own entities: the relay that has the room next knows it from
// here (Members.Open).
type Own map[uint32]*ownState

// ownState is the newest state of a member's entity.
type ownState struct {
	told   bool // the room has told of it
	state  frames.EntityState
	values []byte
}

// Keep has the state of a member's entity be kept.
func (o Own) Keep(entity uint32) {
	if o[entity] == nil && entity != 0 {
		o[entity] = &ownState{}
	}
}

// Snapshot takes where the one is who receives it, for it may stand still from now on.
func (o Own) Snapshot(snapshot *clientv1.Snapshot) {
	own := o[snapshot.SelfEntity()]
	if own == nil {
		return
	}
	var m clientv1.Member
	var s clientv1.EntityState
	for i := range snapshot.MembersLength() {
		snapshot.Members(&m, i)
		if m.State(&s) != nil && s.Entity() == snapshot.SelfEntity() {
			own.told, own.state = true, frames.StateOf(&s)
			own.values = append(own.values[:0], m.ValuesBytes()...)
		}
	}
}

// Correction takes where a member was put back to: a step before may have brought it there, of which no tick has told.
func (o Own) Correction(c *clientv1.Correction) {
	told := c.State(nil)
	if told == nil {
		return
	}
	state := frames.StateOf(told)
	if own := o[state.Entity]; own != nil {
		own.told, own.state = true, state
	}
}

// Batch takes what a tick tells.
func (o Own) Batch(batch *frames.StateBatch) {
	for _, s := range batch.States {
		if own := o[s.Entity]; own != nil {
			own.told, own.state = true, s
		}
	}
	for _, v := range batch.Values {
		if own := o[v.Entity]; own != nil {
			own.values = append(own.values[:0], v.Values...)
		}
	}
}

// String tells what is known, for tests and people.
func (o Own) String() string {
	var text strings.Builder
	for _, entity := range slices.Sorted(maps.Keys(o)) {
		_, _ = fmt.Fprintf(&text, "%t %v %q;", o[entity].told, o[entity].state, o[entity].values)
	}
	return text.String()
}

// State is the newest of an entity; nil if the room has told none.
func (o Own) State(entity uint32) *roomv1.Input_State {
	own := o[entity]
	if own == nil || !own.told {
		return nil
	}
	s := own.state
	return &roomv1.Input_State{
		Position: &commonv1.Position{X: s.Position.X, Y: s.Position.Y, Z: s.Position.Z},
		Yaw:      uint32(s.Yaw), Animation: uint32(s.Animation), Values: own.values,
	}
}
