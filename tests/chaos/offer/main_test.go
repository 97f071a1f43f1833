package main

import "testing"

func TestCapacityIsWhatIsAnsweredWhenMoreCallersGainNothing(t *testing.T) {
	for name, c := range map[string]struct {
		answered func(callers int) float64
		good     float64
		callers  int
	}{
		"each call waits, until all processors are busy": {
			func(callers int) float64 { return min(20*float64(callers), 2400) }, 2400, 128,
		},
		"one step gains nothing by chance": {
			func(callers int) float64 {
				return map[int]float64{4: 300, 8: 600, 16: 1200, 32: 2100, 64: 1900, 128: 2800}[callers]
			}, 2800, 128,
		},
		"too many callers are in each other's way": {
			func(callers int) float64 { return 1000 - float64(callers) }, 1000 - fewest, fewest,
		},
	} {
		t.Run(name, func(t *testing.T) {
			best := capacity(func(callers int) outcome { return outcome{Good: c.answered(callers), Callers: callers} })
			if best.Good != c.good || best.Callers != c.callers {
				t.Errorf("%.0f a second with %d callers, not %.0f with %d", best.Good, best.Callers, c.good, c.callers)
			}
		})
	}
}
