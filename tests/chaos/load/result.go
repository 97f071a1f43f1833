package main

import (
	"slices"
	"time"

	"github.com/worldmesh/worldmesh/clients/go/statebatch"
)

// result is what came of it.
type result struct {
	Said       int `json:"said"`
	Acked      int `json:"acked"`
	Unanswered int `json:"unanswered"`
	// Lost counts pairs of a message that was answered and a client of its room that has not heard it, and was not told that
	// it has missed something there; Twice those that heard it more than once; Disorder events out of order; Gaps snapshots that told of a gap.
	Lost     int `json:"lost"`
	Twice    int `json:"twice"`
	Disorder int `json:"disorder"`
	Gaps     int `json:"gaps"`
	// Split counts places in the ordered channel where two clients of a room have heard different messages.
	Split int `json:"split"`
	Lefts int `json:"room_left"`
	// Moves is how often clients came back after the mark; MostMoves the most of one client. Of those who read slowly it
	// is SlowMoves.
	Moves     int `json:"reconnects"`
	MostMoves int `json:"most_reconnects"`
	SlowMoves int `json:"slow_reconnects"`
	// Came and Went count the members of whom rooms have said after the mark that they have entered or left.
	Came int `json:"came"`
	Went int `json:"went"`
	// WrongMembers counts pairs of a client and a member of whom it does not know though that one is in, or knows though
	// not; WrongPlaces pairs of a client and a member whom it sees elsewhere than where that one has gone last, or does not
	// see though it is near.
	WrongMembers int `json:"wrong_members"`
	WrongPlaces  int `json:"wrong_places"`
	// Refused counts what was not done; Untimely those refusals that did not say when to try again.
	Refused  int `json:"refused"`
	Untimely int `json:"untimely"`
	// AckP50, AckP99 and Longest are from saying to the answer. LiveP50 and LiveP99 are over rooms: from the mark to the
	// first answer to something said when the fault had struck, or to now if there is none. SilenceP99 is over rooms, too: the longest time
	// without any state from the mark to the end of the walking.
	LiveP50    float64 `json:"live_p50_ms"`
	LiveP99    float64 `json:"live_p99_ms"`
	SilenceP99 float64 `json:"state_silence_p99_ms"`
	AckP50     float64 `json:"ack_p50_ms"`
	AckP99     float64 `json:"ack_p99_ms"`
	Longest    float64 `json:"longest_ms"`
	// LongestAt is when that was said whose answer took longest, from the mark.
	LongestAt float64 `json:"longest_at_ms"`
	// CalmStepP99 and StepP99 are how old steps of others were when they were seen: from when all was calm to the mark, and
	// after it.
	CalmStepP99 float64 `json:"calm_step_p99_ms"`
	StepP99     float64 `json:"step_p99_ms"`
	// ByGateway is how those at each gateway fared, in the order of the plan.
	ByGateway []atGateway `json:"by_gateway"`
	// ToldToMove counts the sockets that a gateway closed because it shuts down; MoveSpread is from the first to the last.
	ToldToMove int     `json:"told_to_move"`
	MoveSpread float64 `json:"move_spread_ms"`
	// BackAfter is how long it took until all were in who were called, or had lost their connections; Away who is not.
	BackAfter float64 `json:"back_after_ms"`
	Away      int     `json:"away"`
	Clients   int     `json:"clients"`
	// Dead are the clients that have not come back.
	Dead  []int                     `json:"dead"`
	Notes map[string]map[string]int `json:"notes"`
}

// atGateway is live and silence, for those who were at a gateway at the time.
type atGateway struct {
	LiveP99    float64 `json:"live_p99_ms"`
	SilenceP99 float64 `json:"state_silence_p99_ms"`
}

// toldOf says whether a client was told that it has missed what somebody else heard in a place. The caller has the lock.
func (c *client) toldOf(places map[string]spot, text string) bool {
	at, known := places[text]
	return known && slices.ContainsFunc(c.gaps, func(g gap) bool { return g.covers(at) })
}

func (l *load) result() result {
	l.mu.Lock()
	began, mark, struck, quiet, rest := l.calm, l.mark, l.struck, l.quiet, l.rest
	r := result{Notes: l.notes, ToldToMove: l.moves.count, MoveSpread: ms(l.moves.last.Sub(l.moves.first))}
	l.mu.Unlock()
	var live, silence, acks, calm, steps []float64
	liveAt, silenceAt := make([][]float64, len(l.plan.URLs)), make([][]float64, len(l.plan.URLs))
	done, places := map[*room]map[string]time.Time{}, map[*room]map[string]spot{}
	for _, room := range l.rooms {
		room.mu.Lock()
		r.Said += len(room.said)
		r.Acked += len(room.done)
		acks = append(acks, room.latencies...)
		done[room] = map[string]time.Time{}
		for text, at := range room.done {
			done[room][text] = at
			if took := ms(at.Sub(room.said[text])); took > r.Longest {
				r.Longest, r.LongestAt = took, ms(room.said[text].Sub(mark))
			}
		}
		places[room] = map[string]spot{}
		for place, text := range room.words {
			places[room][text] = place
		}
		live = append(live, ms(room.liveAfter(mark, struck, anyGateway)))
		silence = append(silence, ms(room.silence(mark, quiet, anyGateway)))
		for g := range l.plan.URLs {
			liveAt[g] = append(liveAt[g], ms(room.liveAfter(mark, struck, g)))
			silenceAt[g] = append(silenceAt[g], ms(room.silence(mark, quiet, g)))
		}
		for _, s := range room.steps {
			switch {
			case s.seen.Before(began):
			case s.seen.Before(mark):
				calm = append(calm, ms(s.age))
			case rest.IsZero() || s.seen.Before(rest):
				steps = append(steps, ms(s.age))
			}
		}
		r.Came, r.Went = r.Came+len(room.came), r.Went+len(room.went)
		r.Refused, r.Untimely = r.Refused+room.refusals, r.Untimely+room.untimely
		r.Split += len(room.split)
		room.mu.Unlock()
	}
	r.Unanswered = r.Said - r.Acked
	for _, c := range l.clients {
		c.mu.Lock()
		if c.dead {
			r.Dead = append(r.Dead, c.index)
			c.mu.Unlock()
			continue
		}
		for text := range done[c.room] {
			switch n := c.heard[text]; {
			case n == 0 && c.late && c.room.saidBefore(text, c.since):
			case n == 0 && l.plan.Gaps && c.toldOf(places[c.room], text):
			case n == 0:
				r.Lost++
			case n > 1:
				r.Twice++
			}
		}
		r.Disorder += c.disorder
		r.Gaps += len(c.gaps)
		r.Lefts += c.lefts
		if c.slow != nil {
			r.SlowMoves += c.backs
		} else {
			r.Moves += c.backs
			r.MostMoves = max(r.MostMoves, c.backs)
		}
		c.mu.Unlock()
	}
	r.WrongMembers, r.WrongPlaces = l.wrong()
	r.LiveP50, r.LiveP99, r.SilenceP99 = percentile(live, 0.5), percentile(live, 0.99), percentile(silence, 0.99)
	r.AckP50, r.AckP99 = percentile(acks, 0.5), percentile(acks, 0.99)
	r.CalmStepP99, r.StepP99 = percentile(calm, 0.99), percentile(steps, 0.99)
	for g := range l.plan.URLs {
		r.ByGateway = append(r.ByGateway, atGateway{percentile(liveAt[g], 0.99), percentile(silenceAt[g], 0.99)})
	}
	r.BackAfter, r.Away = l.back.told()
	r.Clients = len(l.clients)
	return r
}

// wrong compares what each client sees of its room with what is true: who is in, and where each has gone last.
func (l *load) wrong() (members, places int) {
	truth := map[*room]map[uint32]statebatch.Vec3{}
	besides := map[*room]int{}
	for _, room := range l.rooms {
		besides[room] = l.plan.Besides
	}
	for _, c := range l.clients {
		c.mu.Lock()
		if truth[c.room] == nil {
			truth[c.room] = map[uint32]statebatch.Vec3{}
		}
		switch {
		case c.dead: // it may be in or not: its place is held for a while
			besides[c.room]++
		case c.in:
			truth[c.room][c.sees.entity] = c.sees.self()
		default:
			members++
		}
		c.mu.Unlock()
	}
	for _, c := range l.clients {
		c.mu.Lock()
		if c.in {
			m, p := c.sees.wrong(truth[c.room], besides[c.room])
			members, places = members+m, places+p
		}
		c.mu.Unlock()
	}
	return members, places
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func percentile(values []float64, share float64) float64 {
	if len(values) == 0 {
		return -1
	}
	slices.Sort(values)
	return values[min(int(share*float64(len(values))), len(values)-1)]
}
