package roomsim

import (
	"fmt"
	"math/rand/v2"
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
)

// Act is something that a client does.
type Act struct {
	Kind Kind
	Text string // of Say and Whisper; no two are the same
	To   int    // whom a Whisper is for
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
