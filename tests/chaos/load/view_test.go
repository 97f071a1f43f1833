package main

import (
	"testing"

	"github.com/worldmesh/worldmesh/clients/go/statebatch"
)

// batch is a state batch in which some are gone and some are somewhere.
func batch(anew bool, gone []uint32, at map[uint32]statebatch.Vec3) *statebatch.Batch {
	b := &statebatch.Batch{Anew: anew, Gone: gone}
	for entity, p := range at {
		b.States = append(b.States, statebatch.State{Entity: entity, Position: p})
	}
	return b
}

func TestWhatIsNotSeenAsItIsCounts(t *testing.T) {
	here, near, far := statebatch.Vec3{}, statebatch.Vec3{X: 10, Z: 5}, statebatch.Vec3{X: 40, Z: 40}
	crowd := map[uint32]statebatch.Vec3{1: here, 2: near, 3: far}
	for n := range uint32(full) {
		crowd[100+n] = far
	}
	few := map[uint32]statebatch.Vec3{1: here, 2: near, 3: far}
	for _, test := range []struct {
		name            string
		truth           map[uint32]statebatch.Vec3
		besides         int
		change          func(*view)
		members, places int
	}{
		{"all is as it is", few, 0, func(*view) {}, 0, 0},
		{"one is elsewhere", few, 0, func(v *view) { v.states(batch(false, nil, map[uint32]statebatch.Vec3{2: far})) }, 0, 1},
		{"one is not known", few, 0, func(v *view) { v.left(2) }, 1, 1},
		{"one has left", few, 0, func(v *view) { v.members[9] = "usr_9" }, 1, 0},
		{"one may have left", few, 1, func(v *view) { v.members[9] = "usr_9" }, 0, 0},
		{"few are in and one is out of sight", few, 0, func(v *view) { v.states(batch(false, []uint32{3}, nil)) }, 0, 1},
		{"many are in and one far off is out of sight", crowd, 0, func(v *view) { v.states(batch(false, []uint32{3}, nil)) }, 0, 0},
		{"many are in and one near is not seen", crowd, 0, func(v *view) { v.states(batch(true, nil, nil)) }, 0, 1},
		{"of others' word on where it is itself it makes nothing", few, 0, func(v *view) {
			v.states(batch(true, []uint32{1}, map[uint32]statebatch.Vec3{1: far, 2: near, 3: far}))
		}, 0, 0},
	} {
		v := view{entity: 1, members: map[uint32]string{}, sight: map[uint32]statebatch.Vec3{}}
		for entity, at := range test.truth {
			v.members[entity], v.sight[entity] = "usr", at
		}
		test.change(&v)
		if members, places := v.wrong(test.truth, test.besides); members != test.members || places != test.places {
			t.Errorf("%s: %d and %d", test.name, members, places)
		}
	}
}
