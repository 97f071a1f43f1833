package roomsim

import (
	"os"
	"strconv"
	"testing"
	"time"
)

// setting is a number out of the environment: `make chaos` asks for more than `make test`.
func setting(t *testing.T, name string, usual int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// two is two clients on two gateways, with two relays, who say a message each.
func two(f Faults) Setup {
	return Setup{Relays: 2, Gateways: 2, Says: [][]string{{"a1"}, {"b1"}}, Faults: f}
}

// TestEveryInterleavingOfOneFault looks at all that can happen. WORLDMESH_SIM_STATES bounds the states of each search.
func TestEveryInterleavingOfOneFault(t *testing.T) {
	limit := setting(t, "WORLDMESH_SIM_STATES", 15_000)
	for name, f := range map[string]Faults{
		"nothing goes wrong":     {},
		"a relay crashes":        {Crashes: 1},
		"a relay is paused":      {Pauses: 1},
		"the store fails over":   {FailOvers: 1},
		"a room is moved":        {Moves: 1},
		"a gateway is misrouted": {Misroutes: 1, Moves: 1},
		"a gateway crashes":      {GatewayCrashes: 1},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			found := Search(two(f), limit)
			if found.Err != nil {
				t.Fatalf("%v after\n%s", found.Err, found.Trace)
			}
			all := "all"
			if found.Truncated {
				all = "the first"
			}
			t.Logf("%s %d states, %d of them ends, in %v", all, found.States, found.Ends, time.Since(start).Round(time.Millisecond))
		})
	}
}

// schedules are the worlds that random schedules are played in.
var schedules = map[string]Faults{
	"relays and gateways":            {Crashes: 2, Pauses: 2, Moves: 2, GatewayCrashes: 1, Misroutes: 2},
	"a store that forgets":           {FailOvers: 2, GatewayCrashes: 1},
	"moves and a store that forgets": {FailOvers: 3, Moves: 3},
	"everything":                     {Crashes: 1, Pauses: 2, Moves: 2, GatewayCrashes: 2, Misroutes: 2, FailOvers: 1},
}

func crowd(f Faults) Setup {
	says := [][]string{{"a1", "a2", "a3"}, {"b1", "b2", "b3"}, {"c1", "c2"}, {"d1", "d2"}}
	return Setup{Relays: 3, Gateways: 3, Says: says, Faults: f}
}

// TestRandomSchedules plays schedules with many faults. WORLDMESH_SIM_SEEDS says how many of each kind,
// WORLDMESH_SIM_SEED with which to begin.
func TestRandomSchedules(t *testing.T) {
	seeds, first := setting(t, "WORLDMESH_SIM_SEEDS", 150), setting(t, "WORLDMESH_SIM_SEED", 0)
	for name, f := range schedules {
		t.Run(name, func(t *testing.T) {
			start, steps := time.Now(), 0
			for seed := first; seed < first+seeds; seed++ {
				found := Play(crowd(f), uint64(seed), 200)
				if found.Err != nil {
					t.Fatalf("seed %d: %v after\n%s", seed, found.Err, found.Trace)
				}
				steps += found.States
			}
			t.Logf("%d schedules, %d steps, in %v", seeds, steps, time.Since(start).Round(time.Millisecond))
		})
	}
}

// TestKnownBugsAreFound is the check of the checks.
func TestKnownBugsAreFound(t *testing.T) {
	for _, bug := range Bugs {
		t.Run(string(bug), func(t *testing.T) {
			for seed := range uint64(3000) {
				for name, f := range schedules {
					setup := crowd(f)
					setup.Broken = bug
					if found := Play(setup, seed, 200); found.Err != nil {
						t.Logf("found by seed %d of %q: %v", seed, name, found.Err)
						return
					}
				}
			}
			t.Error("nobody notices")
		})
	}
}
