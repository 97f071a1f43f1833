package main

import (
	"testing"

	flatbuffers "github.com/google/flatbuffers/go"
	clientv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/client/v1"
)

// batch is a state batch in which some are gone and some are somewhere.
func batch(anew bool, gone []uint32, at map[uint32][3]float32) *clientv1.StateBatch {
	b := flatbuffers.NewBuilder(256)
	clientv1.StateBatchStartGoneVector(b, len(gone))
	for _, entity := range gone {
		b.PrependUint32(entity)
	}
	lost := b.EndVector(len(gone))
	clientv1.StateBatchStartStatesVector(b, len(at))
	for entity, p := range at {
		clientv1.CreateEntityState(b, entity, p[0], p[1], p[2], 0, 0)
	}
	states := b.EndVector(len(at))
	clientv1.StateBatchStart(b)
	clientv1.StateBatchAddGone(b, lost)
	clientv1.StateBatchAddStates(b, states)
	clientv1.StateBatchAddAnew(b, anew)
	b.Finish(clientv1.StateBatchEnd(b))
	return clientv1.GetRootAsStateBatch(b.FinishedBytes(), 0)
}

func TestWhatIsNotSeenAsItIsCounts(t *testing.T) {
	here, near, far := [3]float32{}, [3]float32{10, 0, 5}, [3]float32{40, 0, 40}
	crowd := map[uint32][3]float32{1: here, 2: near, 3: far}
	for n := range uint32(full) {
		crowd[100+n] = far
	}
	few := map[uint32][3]float32{1: here, 2: near, 3: far}
	for _, test := range []struct {
		name            string
		truth           map[uint32][3]float32
		besides         int
		change          func(*view)
		members, places int
	}{
		{"all is as it is", few, 0, func(*view) {}, 0, 0},
		{"one is elsewhere", few, 0, func(v *view) { v.states(batch(false, nil, map[uint32][3]float32{2: far})) }, 0, 1},
		{"one is not known", few, 0, func(v *view) { v.left(2) }, 1, 1},
		{"one has left", few, 0, func(v *view) { v.members[9] = "usr_9" }, 1, 0},
		{"one may have left", few, 1, func(v *view) { v.members[9] = "usr_9" }, 0, 0},
		{"few are in and one is out of sight", few, 0, func(v *view) { v.states(batch(false, []uint32{3}, nil)) }, 0, 1},
		{"many are in and one far off is out of sight", crowd, 0, func(v *view) { v.states(batch(false, []uint32{3}, nil)) }, 0, 0},
		{"many are in and one near is not seen", crowd, 0, func(v *view) { v.states(batch(true, nil, nil)) }, 0, 1},
		{"of others' word on where it is itself it makes nothing", few, 0, func(v *view) {
			v.states(batch(true, []uint32{1}, map[uint32][3]float32{1: far, 2: near, 3: far}))
		}, 0, 0},
	} {
		v := view{entity: 1, members: map[uint32]string{}, sight: map[uint32][3]float32{}}
		for entity, at := range test.truth {
			v.members[entity], v.sight[entity] = "usr", at
		}
		test.change(&v)
		if members, places := v.wrong(test.truth, test.besides); members != test.members || places != test.places {
			t.Errorf("%s: %d and %d", test.name, members, places)
		}
	}
}
