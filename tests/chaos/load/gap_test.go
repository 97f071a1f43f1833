package main

import "testing"

func TestWhatSomebodyWasToldToHaveMissedIsNotLost(t *testing.T) {
	c := client{gaps: []gap{{position{1, 4, 2}, position{2, 7, 0}}}}
	places := map[string]spot{"seen": {4, 2}, "whispered": {4, 3}, "missed": {5, 0}, "last": {7, 0}, "after": {7, 1}}
	for text, want := range map[string]bool{
		"seen": false, "whispered": true, "missed": true, "last": true, "after": false, "heard by nobody": false,
	} {
		if got := c.toldOf(places, text); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}
