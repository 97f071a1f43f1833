// Proxy stands between two processes and makes the network between them bad. On standard input it takes its links, one
// JSON array, and then commands, a JSON object a line: `{"link":"relay-0.redis","fault":"stall","way":"both"}`; each is
// answered by a line, `{"error":"","packets_lost":0}`: what was wrong with it, and how many packets were lost so far. It
// listens on loopback only, and ends with its standard input.
//
// Between the ends of a link runs Shopify's toxiproxy; what it lacks, a network that loses things, or takes nothing, is in
// loss.go and stall.go.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"os"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/Shopify/toxiproxy/v2/toxics"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// link is a way from one process to another.
type link struct {
	Name     string `json:"name"`
	Listen   string `json:"listen"`
	Upstream string `json:"upstream"`
	// Connect says that connections begin with CONNECT.
	Connect bool `json:"connect"`
}

// command makes a link bad, in a way of toxiproxy's or of ours, or good again.
type command struct {
	Link string `json:"link"`
	// Fault is a kind of toxic, or `heal`, which takes all faults from the link, or `cut`, which also ends its connections
	// and refuses new ones until it is healed.
	Fault string `json:"fault"`
	// Way is `up` (to the upstream), `down` or `both`.
	Way        string         `json:"way"`
	Attributes map[string]any `json:"attributes"`
}

// ways are the directions of a link in toxiproxy's words.
var ways = map[string][]string{
	"up": {"upstream"}, "down": {"downstream"}, "both": {"upstream", "downstream"},
}

func main() {
	log.SetFlags(0)
	zerolog.SetGlobalLevel(zerolog.Disabled) // toxiproxy traces every interruption
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	if !lines.Scan() {
		log.Fatal("no links")
	}
	proxies, err := open(lines.Bytes())
	if err != nil {
		log.Fatal(err)
	}
	answer(nil)
	for lines.Scan() {
		answer(obey(proxies, lines.Bytes()))
	}
}

func answer(err error) {
	said := struct {
		Error       string `json:"error"`
		PacketsLost int64  `json:"packets_lost"`
	}{PacketsLost: packetsLost.Load()}
	if err != nil {
		said.Error = err.Error()
	}
	if err := json.NewEncoder(os.Stdout).Encode(said); err != nil {
		log.Fatal(err)
	}
}

// open starts a proxy for each link.
func open(text []byte) (map[string]*toxiproxy.Proxy, error) {
	var links []link
	if err := json.Unmarshal(text, &links); err != nil {
		return nil, err
	}
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	proxies := map[string]*toxiproxy.Proxy{}
	for _, l := range links {
		for _, address := range []string{l.Listen, l.Upstream} {
			if host, _, err := net.SplitHostPort(address); err != nil || !net.ParseIP(host).IsLoopback() {
				return nil, fmt.Errorf("link %s: %s is not an address of this machine", l.Name, address)
			}
		}
		p, err := start(server, l)
		if err != nil {
			return nil, fmt.Errorf("link %s: %w", l.Name, err)
		}
		proxies[l.Name] = p
	}
	return proxies, nil
}

func start(server *toxiproxy.ApiServer, l link) (*toxiproxy.Proxy, error) {
	if !l.Connect {
		p := toxiproxy.NewProxy(server, l.Name, l.Listen, l.Upstream)
		return p, p.Start()
	}
	p := toxiproxy.NewProxy(server, l.Name, "127.0.0.1:0", l.Upstream)
	if err := p.Start(); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", l.Listen)
	if err != nil {
		return nil, err
	}
	go connect(listener, p.Listen)
	return p, nil
}

func obey(proxies map[string]*toxiproxy.Proxy, text []byte) error {
	var c command
	if err := json.Unmarshal(text, &c); err != nil {
		return err
	}
	p := proxies[c.Link]
	if p == nil {
		return fmt.Errorf("there is no link %q", c.Link)
	}
	switch c.Fault {
	case "heal":
		return errors.Join(heal(p), enable(p, true))
	case "cut":
		return enable(p, false)
	}
	directions, known := ways[c.Way]
	if !known {
		return fmt.Errorf("there is no way %q", c.Way)
	}
	for _, direction := range directions {
		name := direction + " " + c.Fault
		if c.Fault == "stall" {
			setGate(c.Link+" "+direction, true)
			if p.Toxics.GetToxic(name) != nil {
				continue
			}
			c.Attributes = map[string]any{"gate": c.Link + " " + direction}
		}
		toxic, err := json.Marshal(map[string]any{"name": name, "type": c.Fault, "stream": direction, "attributes": c.Attributes})
		if err != nil {
			return err
		}
		if _, err := p.Toxics.AddToxicJson(bytes.NewReader(toxic)); err != nil {
			return fmt.Errorf("%s on %s: %w", c.Fault, c.Link, err)
		}
	}
	return nil
}

// heal ends all that is bad about a link. What stalls it stays in it, and lets everything through.
func heal(p *toxiproxy.Proxy) error {
	for _, direction := range ways["both"] {
		setGate(p.Name+" "+direction, false)
	}
	var failed error
	for _, toxic := range p.Toxics.GetToxicArray() {
		if t, ok := toxic.(*toxics.ToxicWrapper); ok && t.Type != "stall" {
			failed = errors.Join(failed, p.Toxics.RemoveToxic(context.Background(), t.Name))
		}
	}
	return failed
}

func enable(p *toxiproxy.Proxy, enabled bool) error {
	return p.Update(&toxiproxy.Proxy{Name: p.Name, Listen: p.Listen, Upstream: p.Upstream, Enabled: enabled})
}
