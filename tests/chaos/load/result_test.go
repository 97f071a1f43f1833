package main

import (
	"fmt"
	"maps"
	"net"
	"os"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

func TestARoomThatDoesNotLiveAgainIsNotQuick(t *testing.T) {
	mark := time.Now().Add(-time.Minute)
	struck := mark.Add(500 * time.Millisecond)
	r := newRoom("room_1")
	r.said["before"], r.done["before"] = mark.Add(-time.Second), mark.Add(time.Second)
	if took := r.liveAfter(mark, struck, anyGateway); took < time.Minute {
		t.Errorf("nothing said after the mark was answered, and the room lived after %v", took)
	}
	r.said["between"], r.done["between"] = mark.Add(100*time.Millisecond), mark.Add(200*time.Millisecond)
	if took := r.liveAfter(mark, struck, anyGateway); took < time.Minute {
		t.Errorf("what was answered before the fault struck counts: it lived after %v", took)
	}
	r.said["after"], r.done["after"] = mark.Add(time.Second), mark.Add(2*time.Second)
	if took := r.liveAfter(mark, struck, anyGateway); took != 2*time.Second {
		t.Errorf("it lived after %v", took)
	}
	r.by["after"] = 1
	if took := r.liveAfter(mark, struck, 1); took != 2*time.Second {
		t.Errorf("at the gateway that answered it lived after %v", took)
	}
	if took := r.liveAfter(mark, struck, 0); took < time.Minute {
		t.Errorf("at the other gateway nothing was answered, and it lived after %v", took)
	}
}

func TestSilenceIsTheLongestTimeWithoutState(t *testing.T) {
	mark := time.Now()
	at := func(seconds int) time.Time { return mark.Add(time.Duration(seconds) * time.Second) }
	for _, test := range []struct {
		name   string
		states []time.Time
		want   time.Duration
	}{
		{"none at all", nil, 10 * time.Second},
		{"only what was on its way", []time.Time{at(-1), at(1)}, 9 * time.Second},
		{"a hole", []time.Time{at(1), at(2), at(6), at(8)}, 4 * time.Second},
		{"what comes after the end does not count", []time.Time{at(9), at(30)}, 9 * time.Second},
	} {
		r := newRoom("room_1")
		for _, at := range test.states {
			r.states = append(r.states, stateSeen{at, 1})
		}
		for gateway, want := range map[int]time.Duration{anyGateway: test.want, 1: test.want, 0: 10 * time.Second} {
			if got := r.silence(mark, at(10), gateway); got != want {
				t.Errorf("%s, gateway %d: %v", test.name, gateway, got)
			}
		}
	}
}

func TestInOnePlaceAllHearTheSame(t *testing.T) {
	r := newRoom("room_1")
	for _, h := range []struct {
		at   position
		text string
	}{
		{position{1, 5, 0}, "a"}, {position{2, 5, 0}, "a"}, {position{1, 6, 0}, "b"}, {position{1, 6, 1}, "c"},
		{position{2, 6, 0}, "another"}, {position{3, 6, 0}, "b"},
	} {
		r.heard(h.at, h.text)
	}
	if len(r.split) != 1 || !r.split[spot{6, 0}] {
		t.Errorf("%v", r.split)
	}
}

func TestOnlyWhoIsToldToMoveAfterTheMarkCounts(t *testing.T) {
	l := &load{notes: map[string]map[string]int{}}
	l.closed(4000)
	l.begin()
	for _, code := range []ws.StatusCode{4000, 4002, ws.StatusGoingAway, 4000} {
		l.closed(code)
	}
	if r := l.moves; r.count != 2 || r.last.Before(r.first) {
		t.Errorf("%+v", r)
	}
}

func TestItIsCalmWhenASecondIsAsTheOneBefore(t *testing.T) {
	for _, test := range []struct {
		before, now float64
		want        bool
	}{{0, 60, false}, {60, -1, false}, {-1, -1, false}, {400, 60, false}, {60, 400, false}, {60, 70, true}, {70, 60, true}} {
		if got := steady(test.before, test.now); got != test.want {
			t.Errorf("%v after %v: %v", test.now, test.before, got)
		}
	}
}

func TestThatManySocketsFailedAlikeIsOneNote(t *testing.T) {
	l := &load{notes: map[string]map[string]int{}}
	for port := range 2 {
		failed := &net.OpError{Op: "read", Net: "tcp", Addr: &net.TCPAddr{Port: 1 + port}, Err: os.ErrDeadlineExceeded}
		l.note("socket", fmt.Errorf("frame: %w", failed))
	}
	if want := map[string]int{"read: i/o timeout": 2}; !maps.Equal(l.notes["socket"], want) {
		t.Errorf("%v, not %v", l.notes["socket"], want)
	}
}
