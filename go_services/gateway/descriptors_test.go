package gateway

import "testing"

func TestSocketsLeaveDescriptorsToTheRest(t *testing.T) {
	for _, test := range []struct {
		descriptors uint64
		set, want   int64
	}{
		{20_000, 15_000, 15_000}, {15_256, 15_000, 15_000}, {15_000, 15_000, 14_744}, {1024, 15_000, 768}, {100, 15_000, 50},
		{100, 10, 10},
	} {
		if got := socketsWithin(test.descriptors, test.set); got != test.want {
			t.Errorf("of %d descriptors %d sockets, not %d", test.descriptors, got, test.want)
		}
	}
}
