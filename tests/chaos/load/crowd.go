package main

import (
	"context"
	"strings"
	"sync"
	"time"
)

// crowd is what a plan says of many who do something at the same moment.
type crowd struct {
	// Copies is how often each token is used, each time in another room. 0: once.
	Copies int `json:"copies"`
	// Late is how many of those uses stay out until the command `come`.
	Late int `json:"late"`
	// Words is how many messages each room says a second; 0: ten.
	Words float64 `json:"words"`
	// Letters is how long each of them is at least.
	Letters int `json:"letters"`
}

// text makes a message as long as it is to be.
func (c crowd) text(begin string) string {
	return begin + strings.Repeat(".", max(0, c.Letters-len(begin)))
}

// pause is how long a room is silent between two messages.
func (c crowd) pause() time.Duration {
	if c.Words == 0 {
		return 100 * time.Millisecond
	}
	return time.Duration(float64(time.Second) / c.Words)
}

// spread repeats tokens so that each is in another room each time: clients are dealt out to rooms in turns.
func (c crowd) spread(tokens []string) []string {
	all := make([]string, 0, len(tokens)*max(c.Copies, 1))
	for copied := range max(c.Copies, 1) {
		shift := copied % len(tokens)
		all = append(append(all, tokens[shift:]...), tokens[:shift]...)
	}
	return all
}

// comeback counts who is to be in after everybody was called or lost the connection.
type comeback struct {
	mu     sync.Mutex
	called time.Time
	away   map[*client]bool
	after  time.Duration // until all were in; 0: they are not yet
	come   chan struct{} // closed when the late may come
}

func newComeback() *comeback {
	return &comeback{come: make(chan struct{})}
}

// call takes note of who is to be in, and when that began.
func (r *comeback) call(clients []*client) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.called, r.away = time.Now(), map[*client]bool{}
	for _, c := range clients {
		r.away[c] = true
	}
}

func (r *comeback) in(c *client) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.away[c] {
		return
	}
	delete(r.away, c)
	if len(r.away) == 0 {
		r.after = time.Since(r.called)
	}
}

// told is the time until all were in, in ms, and how many are not.
func (r *comeback) told() (after float64, away int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return ms(r.after), len(r.away)
}

// drop cuts everybody's connection at once, as a network does that fails for a moment.
func (l *load) drop() {
	l.back.call(l.clients)
	for _, c := range l.clients {
		c.mu.Lock()
		if c.conn != nil {
			_ = c.conn.Close()
		}
		c.mu.Unlock()
	}
}

// comeLate lets those in who have stayed out so far.
func (l *load) comeLate() {
	var late []*client
	for _, c := range l.clients {
		if c.late {
			late = append(late, c)
		}
	}
	l.back.call(late)
	close(l.back.come)
}

// invited waits until a client may come; false if it is over.
func (c *client) invited(ctx context.Context) bool {
	if !c.late {
		return true
	}
	select {
	case <-c.load.back.come:
		return true
	case <-ctx.Done():
		return false
	}
}
