package shard

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

func TestUsersAreFoundAsInAMap(t *testing.T) {
	random, r, known := rand.New(rand.NewPCG(1, 2)), newRecords(), map[id]uint32{}
	for step := range 200_000 {
		user := id{low: random.Uint64N(4000)} // so that each part of the index grows, and is full at times
		switch number := r.first(user); {
		case number != known[user]:
			t.Fatalf("step %d: %v has record %d, want %d", step, user, number, known[user])
		case number == 0:
			number = r.take()
			r.at(number).user = user
			r.enter(user, number)
			known[user] = number
		default:
			r.replace(user, 0)
			r.give(number)
			delete(known, user)
		}
	}
	for user, number := range known {
		if r.first(user) != number {
			t.Errorf("%v is lost", user)
		}
	}
	slots := 0
	for _, part := range r.index {
		slots += len(part.slots)
	}
	if slots > 16_384 {
		t.Errorf("the index has grown to %d slots", slots)
	}
	if r.users != len(known) || int(r.end) > 4001 {
		t.Errorf("%d users in %d records, want %d", r.users, r.end, len(known))
	}
}

func TestIDsComeBackAsTheyWere(t *testing.T) {
	s := newIDs("usr_")
	for text, packed := range map[string]bool{
		"usr_01ARZ3NDEKTSV4RRFFQ69G5FAV":  true,
		"usr_3ZZZZZZZZZZZZZZZZZZZZZZZZZ":  true,
		"usr_00000000000000000000000000":  true,
		"usr_4ZZZZZZZZZZZZZZZZZZZZZZZZZ":  false, // its first bit says that it is a number
		"usr_7ZZZZZZZZZZZZZZZZZZZZZZZZZ":  false,
		"usr_01arz3ndektsv4rrffq69g5fav":  false, // another spelling of the same ULID is another id
		"usr_01ARZ3NDEKTSV4RRFFQ69G5FAI":  false,
		"bot_01ARZ3NDEKTSV4RRFFQ69G5FAV":  false,
		"usr_01ARZ3NDEKTSV4RRFFQ69G5FA":   false,
		"usr_01ARZ3NDEKTSV4RRFFQ69G5FAVV": false,
		"usr_worldmesh":                   false,
		"":                                false,
	} {
		i := s.hold(text)
		if s.text(i) != text || (i.high&odd == 0) != packed {
			t.Errorf("%q is %+v, %q", text, i, s.text(i))
		}
		if again, ok := s.find(text); !ok || again != i {
			t.Errorf("%q is not found", text)
		}
		s.release(i)
	}
	if len(s.others.numbers) != 0 {
		t.Errorf("left: %v", s.others.numbers)
	}
	if _, ok := s.find("usr_nobody"); ok {
		t.Error("finds what nobody holds")
	}
}

func FuzzIDs(f *testing.F) {
	f.Add("usr_01ARZ3NDEKTSV4RRFFQ69G5FAV", "usr_01arz3ndektsv4rrffq69g5fav")
	f.Fuzz(func(t *testing.T, a, b string) {
		s := newIDs("usr_")
		i, j := s.hold(a), s.hold(b)
		if s.text(i) != a || s.text(j) != b || (i == j) != (a == b) {
			t.Errorf("%q is %s, %q is %s", a, fmt.Sprint(i), b, fmt.Sprint(j))
		}
	})
}
