package roomsim

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"slices"
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

// small is two clients on two gateways, with two relays, who say so many messages.
func small(messages int, f Faults) Setup {
	acts := [][]Act{nil, nil}
	for i := range messages {
		acts[i] = Says(fmt.Sprint("message ", i))
	}
	return Setup{Relays: 2, Gateways: 2, Acts: acts, Faults: f}
}

// alone is the same with one client, who says so many messages.
func alone(messages int, f Faults) Setup {
	s := small(messages, f)
	s.Acts = [][]Act{slices.Concat(s.Acts...)}
	return s
}

// walk is small with two clients of whom the first makes steps.
func walk(f Faults, reaches ...Reach) Setup {
	return Setup{Relays: 2, Gateways: 2, Acts: numbered([][]Act{Steps(reaches...), nil}), Faults: f}
}

// walkAndTalk is the same with a message between two steps, of which the second is to be answered.
func walkAndTalk(f Faults) Setup {
	s := walk(f, Near, Near)
	s.Acts[0] = slices.Insert(s.Acts[0], 1, Says("message")...)
	return s
}

// searches are the worlds of which every interleaving is searched.
var searches = []struct {
	name string
	Setup
	long bool // only if WORLDMESH_SIM_STATES is set
}{
	{name: "two messages", Setup: small(2, Faults{})},
	{name: "two messages and a fail-over", Setup: small(2, Faults{FailOvers: 1})},
	{name: "two messages and a move", Setup: small(2, Faults{Moves: 1})},
	{name: "two messages, a move and a misroute", Setup: small(2, Faults{Moves: 1, Misroutes: 1})},
	{name: "two messages and a crash of a gateway", Setup: small(2, Faults{GatewayCrashes: 1})},
	{name: "two messages and a crash", Setup: small(2, Faults{Crashes: 1}), long: true},
	{name: "two messages and a pause", Setup: small(2, Faults{Pauses: 1}), long: true},
	{name: "a message and a crash", Setup: small(1, Faults{Crashes: 1})},
	{name: "a message and a pause", Setup: small(1, Faults{Pauses: 1})},
	{name: "two messages, and a store that forgets everything", Setup: small(2, Faults{Empties: 1}), long: true},
	{name: "a pause, and a store that forgets everything", Setup: small(0, Faults{Empties: 1, Pauses: 1}), long: true},
	{name: "a message, a move, and a store that forgets everything", Setup: small(1, Faults{Empties: 1, Moves: 1}), long: true},
	{name: "a crash, and a store that forgets everything", Setup: small(0, Faults{Empties: 1, Crashes: 1}), long: true},
	{name: "a message, a crash and a move", Setup: small(1, Faults{Crashes: 1, Moves: 1}), long: true},
	{name: "a message, a crash and a fail-over", Setup: small(1, Faults{Crashes: 1, FailOvers: 1}), long: true},
	{name: "a message, and crashes of a relay and a gateway", Setup: small(1, Faults{Crashes: 1, GatewayCrashes: 1}), long: true},
	{name: "a crash and a pause", Setup: small(0, Faults{Crashes: 1, Pauses: 1}), long: true},
	{name: "one alone, and a crash, a pause and a fail-over", Setup: alone(0, Faults{Crashes: 1, Pauses: 1, FailOvers: 1}), long: true},
	{name: "one alone with a message, and a crash, a pause and a fail-over", Setup: alone(1, Faults{Crashes: 1, Pauses: 1, FailOvers: 1}), long: true},
	{name: "a pause and a fail-over", Setup: small(0, Faults{Pauses: 1, FailOvers: 1}), long: true},
	{name: "a step and a crash", Setup: walk(Faults{Crashes: 1}, Near)},
	{name: "a step and a crash of a gateway", Setup: walk(Faults{GatewayCrashes: 1}, Near)},
	{name: "a step, a move and a misroute", Setup: walk(Faults{Moves: 1, Misroutes: 1}, Near)},
	{name: "two steps and a fail-over", Setup: walk(Faults{FailOvers: 1}, Near, Near)},
	{name: "two steps and a move", Setup: walk(Faults{Moves: 1}, Near, Near), long: true},
	{name: "a step that is put back, and a move", Setup: walk(Faults{Moves: 1}, Near, Far)},
	{name: "two steps and a crash", Setup: walk(Faults{Crashes: 1}, Near, Near), long: true},
	{name: "a step and a pause", Setup: walk(Faults{Pauses: 1}, Near), long: true},
	{name: "a step, a message, a step, and a crash", Setup: walkAndTalk(Faults{Crashes: 1}), long: true},
	{name: "a step, a crash and a move", Setup: walk(Faults{Crashes: 1, Moves: 1}, Near), long: true},
}

// TestEveryInterleaving looks at all that can happen. With WORLDMESH_SIM_STATES, which bounds the states of each search,
// it takes minutes; a search that does not come to its end fails.
func TestEveryInterleaving(t *testing.T) {
	const usual = 100_000
	before := debug.SetGCPercent(400) // nearly all is garbage
	t.Cleanup(func() { debug.SetGCPercent(before) })
	limit := setting(t, "WORLDMESH_SIM_STATES", usual)
	for _, s := range searches {
		t.Run(s.name, func(t *testing.T) {
			if s.long && limit <= usual {
				t.Skip("WORLDMESH_SIM_STATES is not set")
			}
			t.Parallel()
			start := time.Now()
			found := Search(s.Setup, limit)
			if found.Err != nil {
				t.Fatalf("%v after\n%s", found.Err, found.Trace)
			}
			took := time.Since(start).Round(time.Millisecond)
			if found.Truncated {
				t.Fatalf("not all states: %d in %v, and there are more", found.States, took)
			}
			t.Logf("all %d states, %d of them ends, in %v", found.States, found.Ends, took)
		})
	}
}

// TestTheSearchFindsKnownBugs is the check of the search: a fingerprint that leaves out what matters, or a choice that is
// not made, would let it come to its end and find nothing.
func TestTheSearchFindsKnownBugs(t *testing.T) {
	for bug, in := range map[Bug]string{
		DeliverBeforeLog:  "two messages",
		AckBeforeLog:      "two messages",
		NoFence:           "a message and a crash",
		NoDedupe:          "a message and a crash",
		KeepAfterFence:    "a message and a pause",
		ForgetUnanswered:  "two messages and a move",
		LoseTail:          "two messages and a move",
		SeqFromZero:       "two messages and a move",
		StealFromTheAlive: "two messages, a move and a misroute",
		NoRelog:           "two messages and a fail-over",
		IgnoreFailOver:    "two messages and a fail-over",
		DropResumeReplay:  "two messages and a crash of a gateway",
		KeyByConnection:   "two messages and a crash of a gateway",
		ForgetSteps:       "a step and a crash",
		ForgetPlaces:      "a step that is put back, and a move",
		ForgetAskedSteps:  "two steps and a move",
		RepeatFirstStep:   "two steps and a move",
		StepsLast:         "two steps and a move",
		TakeUntold:        "a pause, and a store that forgets everything",
		SilentPutBack:     "a step that is put back, and a move",
	} {
		t.Run(string(bug), func(t *testing.T) {
			for _, s := range searches {
				if s.name != in {
					continue
				}
				s.Broken = bug
				found := Search(s.Setup, 10_000)
				if found.Err == nil {
					t.Fatalf("nobody notices in %d states of %q", found.States, in)
				}
				t.Logf("found in %d states: %v", found.States, found.Err)
				return
			}
			t.Fatalf("there is no search %q", in)
		})
	}
}

// TestStatesThatLookAlikeGoOnAlike is the check of the fingerprint: whenever a search comes to a state that it knows by another
// way, what may follow must be what it knows, too.
func TestStatesThatLookAlikeGoOnAlike(t *testing.T) {
	names := []string{"two steps and a fail-over", "a step and a crash of a gateway"}
	if os.Getenv("WORLDMESH_SIM_STATES") != "" {
		names = append(names, "two messages and a fail-over", "two messages and a move", "a step and a crash", "a step that is put back, and a move")
	}
	for _, s := range searches {
		if !slices.Contains(names, s.name) {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			known, again := map[uint64]string{}, 0
			var from func(choices []int)
			from = func(choices []int) {
				w := reached(s.Setup, choices)
				print, count := w.Fingerprint(), len(w.next())
				follows := ""
				for choice := range count {
					if follows += followed(s.Setup, choices, choice); t.Failed() {
						return
					}
				}
				before, seen := known[print]
				if seen {
					if again++; before != follows {
						t.Fatalf("what follows is\n%snot\n%safter\n%s", follows, before, w.Trace())
					}
					return
				}
				known[print] = follows
				for choice := range count {
					from(append(choices[:len(choices):len(choices)], choice))
				}
			}
			from(nil)
			t.Logf("%d states, and %d times again one of them", len(known), again)
		})
	}
}

func reached(setup Setup, choices []int) *World {
	w := New(setup)
	for _, choice := range choices {
		w.do(w.next()[choice])
	}
	return w
}

// followed tells what follows after a choice.
func followed(setup Setup, choices []int, choice int) string {
	w := reached(setup, choices)
	a := w.next()[choice]
	w.do(a)
	return fmt.Sprintf("%s: %x, %v\n", a.name, w.Fingerprint(), w.Check(len(w.actions()) == 0))
}

// schedule is a kind of worlds that random schedules are played in.
type schedule struct {
	name string
	Faults
	// capacity of the room; 0: enough.
	capacity int
	// plain clients only say things, and there are two relays.
	plain bool
}

var schedules = []schedule{
	{name: "relays and misroutes", plain: true, Faults: Faults{Crashes: 2, Pauses: 4, Moves: 1, Misroutes: 8}},
	{name: "relays and gateways", Faults: Faults{Crashes: 2, Pauses: 2, Moves: 2, GatewayCrashes: 1, Misroutes: 2}},
	{name: "a store that forgets", Faults: Faults{FailOvers: 2, Forgets: 3, GatewayCrashes: 1}},
	{name: "a store that forgets everything", Faults: Faults{Empties: 2, Misroutes: 6, Moves: 2, Crashes: 1}},
	{name: "moves and a store that forgets", Faults: Faults{FailOvers: 3, Forgets: 2, Moves: 3, Crashes: 1}},
	{name: "relays that do not know of an era yet", Faults: Faults{FailOvers: 4, Forgets: 2, Moves: 3, Misroutes: 4}},
	{name: "pauses and a store that forgets", Faults: Faults{Pauses: 3, FailOvers: 2}},
	{name: "claims that come late", Faults: Faults{Pauses: 3, FailOvers: 1, Moves: 4, Misroutes: 2, Stalls: 1}},
	{name: "a store that fails", Faults: Faults{Outages: 2, Failures: 3, Stalls: 2, Moves: 1, Crashes: 1}},
	{name: "people who come and go", capacity: 3, Faults: Faults{GatewayCrashes: 1, Crashes: 1, Moves: 1, Waits: 3}},
	{name: "time that passes", Faults: Faults{Waits: 3, Naps: 2, Pauses: 1, Crashes: 1, Outages: 1}},
	{name: "everything", Faults: Faults{
		Crashes: 1, Pauses: 2, Moves: 2, GatewayCrashes: 2, Misroutes: 2, FailOvers: 1, Forgets: 2, Outages: 1, Failures: 2,
		Stalls: 1, Waits: 2, Naps: 1,
	}},
}

// play runs the schedule of a seed: also what the clients do comes of it.
func (s schedule) play(seed uint64, broken Bug) Found {
	setup := Setup{Relays: 3, Gateways: 3, Capacity: s.capacity, Faults: s.Faults, Broken: broken}
	if s.plain {
		setup.Relays = 2
		setup.Acts = numbered([][]Act{
			Says("a1", "a2", "a3"), slices.Concat(Says("b1"), Steps(Near, Near), Says("b2", "b3")),
			slices.Concat(Steps(Near, Far, Near), Says("c1", "c2")), slices.Concat(Says("d1", "d2"), Steps(Near, Near, Far)),
		})
	} else {
		setup.Acts = Walking(rand.New(rand.NewPCG(seed, 2)), RandomActs(rand.New(rand.NewPCG(seed, 1)), 4, 3))
	}
	return Play(setup, seed, 250)
}

// TestRandomSchedules plays schedules with many faults. WORLDMESH_SIM_SEEDS says how many of each kind,
// WORLDMESH_SIM_SEED with which to begin.
func TestRandomSchedules(t *testing.T) {
	seeds, first := setting(t, "WORLDMESH_SIM_SEEDS", 100), setting(t, "WORLDMESH_SIM_SEED", 0)
	for _, s := range schedules {
		t.Run(s.name, func(t *testing.T) {
			start, steps := time.Now(), 0
			for seed := first; seed < first+seeds; seed++ {
				found := s.play(uint64(seed), NoBug)
				if found.Err != nil {
					t.Fatalf("seed %d: %v after\n%s", seed, found.Err, found.Trace)
				}
				steps += found.States
			}
			t.Logf("%d schedules, %d steps, in %v", seeds, steps, time.Since(start).Round(time.Millisecond))
		})
	}
}

// TestKnownBugsAreFound is the check of the checks: it says which check found each bug, and after how many schedules.
func TestKnownBugsAreFound(t *testing.T) {
	for _, bug := range Bugs {
		t.Run(string(bug), func(t *testing.T) {
			t.Parallel()
			played := 0
			for seed := range uint64(1000) {
				for _, s := range schedules {
					played++
					if found := s.play(seed, bug); found.Err != nil {
						t.Logf("found by schedule %d, seed %d of %q: %v", played, seed, s.name, found.Err)
						return
					}
				}
			}
			t.Errorf("nobody notices in %d schedules", played)
		})
	}
}
