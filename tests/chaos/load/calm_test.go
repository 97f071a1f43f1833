package main

import (
	"slices"
	"testing"
)

func TestTheWaitForCalm(t *testing.T) {
	for name, c := range map[string]struct {
		ages   []float64 // of steps, one window after another
		halved []int     // after which of them everybody walks half as often
		steady bool
	}{
		"steps as old as before are calm":               {ages: []float64{60, 55}, steady: true},
		"not while they become younger":                 {ages: []float64{240, 120, 60, 62}, steady: true},
		"nobody walks":                                  {ages: []float64{-1, -1, -1, -1}},
		"never the same":                                {ages: []float64{60, 120, 60, 120}},
		"a busy machine has fewer steps":                {ages: []float64{900, 950, 70, 75}, halved: []int{1}, steady: true},
		"also one that is busy in one window of two":    {ages: []float64{251, 249, 70, 75}, halved: []int{1}, steady: true},
		"also one that is never the same":               {ages: []float64{900, 400, 900, 400, 70, 75}, halved: []int{3}, steady: true},
		"it does not wait for ever":                     {ages: []float64{900, 400, 900, 400, 900, 400, 900, 400, 900, 400, 900, 400}, halved: []int{3, 7}},
		"it halves so often, and then takes what it is": {ages: slices.Repeat([]float64{900}, 12), halved: []int{1, 3, 5, 7, 9}, steady: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := wait{busy: 250, limit: 4}
			var halved []int
			for i, age := range c.ages {
				if w.over {
					t.Fatalf("it was over before window %d", i)
				}
				if w.look(age) {
					halved = append(halved, i)
				}
			}
			if !w.over || w.steady != c.steady || !slices.Equal(halved, c.halved) || int(w.halved) != len(c.halved) {
				t.Errorf("over: %v, steady: %v, halved after %v, %d times", w.over, w.steady, halved, w.halved)
			}
		})
	}
}
