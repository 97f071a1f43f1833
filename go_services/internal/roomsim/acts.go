package roomsim

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

// Kind is what an Act is.
type Kind int

// What clients do.
const (
	// Say says something to all.
	Say Kind = iota
	// Whisper says something to one other client.
	Whisper
	// Leave leaves the room.
	Leave
	// Enter enters it, if the client is not in.
	Enter
	// Drop loses the connection.
	Drop
	// Return comes back after Drop, by another gateway, with what was seen.
	Return
	// Second enters by a second connection, which has seen nothing.
	Second
	// Roam enters by a second connection that has seen something long ago.
	Roam
	// Step goes somewhere.
	Step
)

// Act is something that a client does.
type Act struct {
	Kind Kind
	Text string // of Say and Whisper; no two are the same
	To   int    // whom a Whisper is for
	// Of a Step: its number among those of its client, from 1; and whether it is to be answered.
	N     int
	Reach Reach
	Asked bool
}

// Says are acts that say something.
func Says(texts ...string) []Act {
	acts := make([]Act, len(texts))
	for i, text := range texts {
		acts[i] = Act{Kind: Say, Text: text}
	}
	return acts
}

// RandomActs are what some clients may do, so many acts each.
func RandomActs(random *rand.Rand, clients, each int) [][]Act {
	all := make([][]Act, clients)
	for i := range all {
		for n := range each {
			all[i] = append(all[i], randomActs(random, fmt.Sprintf("%c%d", 'a'+i, n), clients)...)
		}
	}
	return all
}

// Walking puts random steps between what clients do.
func Walking(random *rand.Rand, all [][]Act) [][]Act {
	for i, acts := range all {
		for range 2 {
			at := random.IntN(len(acts) + 1)
			acts = slices.Insert(acts, at, randomSteps(random)...)
		}
		all[i] = acts
	}
	return numbered(all)
}

// numbered gives the steps of each client their numbers.
func numbered(all [][]Act) [][]Act {
	for _, acts := range all {
		steps := 0
		for i := range acts {
			if acts[i].Kind == Step {
				steps++
				acts[i].N = steps
			}
		}
	}
	return all
}

// Steps are some steps, of which every other is to be answered.
func Steps(reaches ...Reach) []Act {
	acts := make([]Act, len(reaches))
	for i, reach := range reaches {
		acts[i] = Act{Kind: Step, Reach: reach, Asked: i%2 == 1}
	}
	return acts
}

func randomSteps(random *rand.Rand) []Act {
	acts := make([]Act, 1+random.IntN(2))
	for i := range acts {
		acts[i] = Act{Kind: Step, Asked: random.IntN(3) == 0}
		switch random.IntN(12) {
		case 0, 1:
			acts[i].Reach = Far
		case 2:
			acts[i].Reach = Dash
		}
	}
	return acts
}

func randomActs(random *rand.Rand, text string, clients int) []Act {
	switch random.IntN(16) {
	case 0:
		return []Act{{Kind: Leave}, {Kind: Enter}}
	case 1, 2:
		return []Act{{Kind: Drop}, {Kind: Return}}
	case 3:
		return []Act{{Kind: Drop}}
	case 4:
		return []Act{{Kind: Second}}
	case 5:
		return []Act{{Kind: Roam}}
	case 6, 7, 8:
		return []Act{{Kind: Whisper, Text: text, To: random.IntN(clients)}}
	default:
		return Says(text)
	}
}
