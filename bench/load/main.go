// Load opens sockets, walks and listens, and prints what came of it as one JSON object. It speaks to the floor and to
// Worldmesh. Its loops are bounded in count and time, and it speaks to loopback only.
package main

import (
	"encoding/json"
	"flag"
	"log"
	"maps"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"
)

// Plan is what to do.
type Plan struct {
	Mode    string
	URLs    []string
	CA      string
	Rooms   []string
	Tokens  []string
	Members int
	Rate    float64
	Seconds float64
	Settle  time.Duration
	PIDs    []int
	// Metrics are the servers' pages of metrics, by pid; empty for those without.
	Metrics []string
	// Profiles are to be taken while the window is open: file to URL.
	Profiles map[string]string
	// HeapProfile is a file for what presence holds; none if empty.
	HeapProfile string
	Certs       string
	Calls       int
	Target      map[string]string
}

func main() {
	log.SetFlags(0)
	var p Plan
	file := flag.String("plan", "", "a JSON file with the plan (see Plan)")
	flag.Parse()
	raw, err := os.ReadFile(*file)
	if err != nil {
		log.Fatal(err)
	}
	if err := json.Unmarshal(raw, &p); err != nil {
		log.Fatal(err)
	}
	p.Settle = time.Second
	for _, u := range slices.Concat(p.URLs, p.Metrics, slices.Collect(maps.Values(p.Profiles))) {
		mustBeLoopback(u)
	}
	var result any
	switch p.Mode {
	case "floor", "worldmesh", "idle-floor", "idle-worldmesh", "walk":
		result, err = runRooms(p)
	case "ordered":
		result, err = runOrdered(p)
	case "rpc":
		result, err = runRPC(p)
	case "presence-core":
		result, err = runPresenceCore(p)
	case "presence":
		result, err = runPresence(p)
	default:
		log.Fatalf("no such mode: %s", p.Mode)
	}
	if err != nil {
		log.Fatal(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		log.Fatal(err)
	}
}

func mustBeLoopback(raw string) {
	u, err := url.Parse(raw)
	if err != nil {
		log.Fatal(err)
	}
	if host := u.Hostname(); raw != "" && host != "localhost" && !net.ParseIP(host).IsLoopback() {
		log.Fatalf("%s: load goes to this machine only", strings.TrimSpace(raw))
	}
}
