package history

import (
	"fmt"
	"math"
	"time"

	"github.com/anishathalye/porcupine"
)

// What is asked of the store.
type What string

// Questions. Flush and FailOver are not of relays: they are what befalls the store.
const (
	Claim    What = "claim"
	Append   What = "append"
	Release  What = "release"
	Look     What = "look"
	Flush    What = "flush"
	FailOver What = "fail-over"
)

// Outcome is what somebody was told.
type Outcome string

// Outcomes. What is Unknown may have happened, or happen yet.
const (
	OK        Outcome = "ok"
	Refused   Outcome = "refused"
	Fenced    Outcome = "fenced"
	Forgotten Outcome = "forgotten"
	Unknown   Outcome = "unknown"
)

// Place is a place in the log; epochs do not count in it.
type Place struct {
	Seq uint64 `json:"seq"`
	Sub uint32 `json:"sub"`
}

// Entry is one of the log: its place, and the Sub of the one before.
type Entry struct {
	Place
	After uint32 `json:"after"`
}

// Owner is whose a room is.
type Owner struct {
	Relay       string `json:"relay"`
	Incarnation string `json:"incarnation"`
	Epoch       uint64 `json:"epoch"`
}

// Asked is a question about one room.
type Asked struct {
	What        What   `json:"what"`
	Room        string `json:"room,omitempty"`
	Relay       string `json:"relay,omitempty"`
	Incarnation string `json:"incarnation,omitempty"`
	// Epoch is that of the owner who asks.
	Epoch uint64 `json:"epoch,omitempty"`
	// Held, First (the era's first epoch) and StealAfter are of a claim.
	Held       uint64 `json:"held,omitempty"`
	First      uint64 `json:"first,omitempty"`
	StealAfter uint64 `json:"steal_after,omitempty"`
	// Last is where the log should end: of a release, and of a claim by who holds the room.
	Last    Place   `json:"last"`
	Entries []Entry `json:"entries,omitempty"`
}

// Told is an answer.
type Told struct {
	Outcome Outcome `json:"outcome"`
	Owner   Owner   `json:"owner"`
	Last    Place   `json:"last"`
}

// kept is a room as the contract of store.Rooms has it.
type kept struct {
	owner Owner
	last  Place
	// most is the greatest epoch that the owner may have: the store's clock chooses it, and who claimed may not have heard.
	// The owner's Epoch is the least.
	most uint64
}

// Model is the contract of store.Rooms for one room, one step at a time.
var Model = porcupine.NondeterministicModel{
	Init: func() []any { return []any{kept{}} },
	Step: func(state, input, output any) (next []any) {
		q, a := input.(Asked), output.(Told)
		for _, s := range state.(kept).apart(q.Epoch, q.Held, q.StealAfter, a.Owner.Epoch) {
			after, want := s.step(q, a.Owner.Epoch)
			switch {
			case a.Outcome == Unknown:
				if next = append(next, s); after != s {
					next = append(next, after)
				}
			case want == a:
				next = append(next, after)
			}
		}
		return next
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v → %+v", input, output) },
}

// apart is the state as several: in each, every one of some epochs is less than any that the owner may have, or greater, or
// the only one.
func (s kept) apart(epochs ...uint64) []kept {
	all := []kept{s}
	for _, epoch := range epochs {
		var parts []kept
		for _, s := range all {
			if epoch < s.owner.Epoch || epoch > s.most {
				parts = append(parts, s)
				continue
			}
			if epoch > s.owner.Epoch {
				parts = append(parts, s.between(s.owner.Epoch, epoch-1))
			}
			parts = append(parts, s.between(epoch, epoch))
			if epoch < s.most {
				parts = append(parts, s.between(epoch+1, s.most))
			}
		}
		all = parts
	}
	return all
}

func (s kept) between(least, most uint64) kept {
	s.owner.Epoch, s.most = least, most
	return s
}

// step is what becomes of a room, and what is to be answered. A claim that is granted gets the epoch that was told, if it
// may; of one that was not told (0) it is open.
func (s kept) step(q Asked, told uint64) (kept, Told) {
	switch q.What {
	case Claim:
		return s.claimed(q, told)
	case Append:
		return s.appended(q)
	case Release:
		if refusal := s.refuses(q); refusal != "" {
			return s, Told{Outcome: refusal}
		}
		if s.last != q.Last {
			return s, Told{Outcome: Forgotten}
		}
		return kept{Owner{Epoch: s.owner.Epoch}, s.last, s.most}, Told{Outcome: OK}
	case Flush:
		return kept{}, Told{Outcome: OK}
	default:
		return s, Told{Outcome: OK, Owner: s.owner, Last: s.last}
	}
}

func (s kept) claimed(q Asked, told uint64) (kept, Told) {
	if !s.free(q) {
		return s, Told{Outcome: Refused, Owner: s.owner}
	}
	least := max(s.owner.Epoch+1, q.Held+1, q.First)
	next := kept{Owner{q.Relay, q.Incarnation, max(least, told)}, s.last, max(least, told)}
	if told == 0 {
		next.most = math.MaxUint64
	}
	if q.Held != 0 {
		next.last = q.Last
	}
	return next, Told{Outcome: OK, Owner: next.owner, Last: next.last}
}

// free says whether the room is for who asks.
func (s kept) free(q Asked) bool {
	if q.Held == 0 {
		return s.owner.Relay == "" || s.owner.Relay == q.Relay || q.StealAfter != 0 && q.StealAfter == s.owner.Epoch
	}
	same := s.owner.Relay == q.Relay && s.owner.Incarnation == q.Incarnation
	return q.Held > s.owner.Epoch || same && (q.Held == s.owner.Epoch || s.last == q.Last)
}

func (s kept) appended(q Asked) (kept, Told) {
	if refusal := s.refuses(q); refusal != "" {
		return s, Told{Outcome: refusal}
	}
	next := s
	for _, e := range q.Entries {
		if e.Seq < next.last.Seq || e.Seq == next.last.Seq && e.Sub <= next.last.Sub {
			continue // it is in the log
		}
		if !next.last.before(e) {
			return s, Told{Outcome: Forgotten}
		}
		next.last = e.Place
	}
	return next, Told{Outcome: OK}
}

// before says whether an entry is the next after a place.
func (p Place) before(e Entry) bool {
	return e.Seq == p.Seq+1 && e.Sub == 0 && e.After == p.Sub || e.Seq == p.Seq && e.Sub == p.Sub+1
}

// refuses says why a relay may not write; empty if it may.
func (s kept) refuses(q Asked) Outcome {
	switch {
	case s.owner.Epoch < q.Epoch:
		return Forgotten
	case s.owner.Epoch > q.Epoch || s.owner.Relay == "":
		return Fenced
	case s.owner.Relay != q.Relay || s.owner.Incarnation != q.Incarnation:
		return Forgotten
	}
	return ""
}

// Op is a question and its answer, and when they were given, in nanoseconds.
type Op struct {
	Client         int
	Asked          Asked
	Told           Told
	Called, Return int64
}

// Check says whether a history of one room is linearizable: porcupine.Ok, Illegal, or Unknown if there was no time.
func Check(ops []Op, timeout time.Duration) porcupine.CheckResult {
	var end int64
	for _, op := range ops {
		end = max(end, op.Called, op.Return)
	}
	history := make([]porcupine.Operation, len(ops))
	for i, op := range ops {
		returned := op.Return
		if op.Told.Outcome == Unknown {
			returned = end + 1 // it may still happen
		}
		history[i] = porcupine.Operation{ClientId: op.Client, Input: op.Asked, Call: op.Called, Output: op.Told, Return: returned}
	}
	return porcupine.CheckOperationsTimeout(Model.ToModel(), history, timeout)
}
