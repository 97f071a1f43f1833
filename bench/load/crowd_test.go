package main

import (
	"testing"

	"github.com/oklog/ulid/v2"
)

func TestTheCrowdIsAsItIsSaidToBe(t *testing.T) {
	sessions, devices := map[int]int{}, map[int]int{}
	for _, p := range portions() {
		sessions[p.gateway] += len(p.sessions)
		for _, session := range p.sessions {
			devices[userOf(session)]++
		}
	}
	if len(sessions) != crowdGateways || len(devices) != crowdUsers {
		t.Errorf("%d gateways, %d users", len(sessions), len(devices))
	}
	for gateway, n := range sessions {
		if n != 50_000 {
			t.Errorf("gateway %d has %d sessions", gateway, n)
		}
	}
	for user, n := range devices {
		if (n == 2) != (user%10 == 0) {
			t.Fatalf("user %d is on %d devices", user, n)
		}
	}
	seen := map[string]bool{}
	for number := range 10_000 {
		text := madeID("usr_", number)
		if id, err := ulid.ParseStrict(text[4:]); err != nil || id.String() != text[4:] || seen[text] {
			t.Fatalf("%s: %v", text, err)
		}
		seen[text] = true
	}
}
