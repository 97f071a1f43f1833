package roomsim

import (
	"fmt"

	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	"github.com/worldmesh/worldmesh/go_services/gateway/roomlink"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
)

// client is a person: says things, and keeps what it hears.
type client struct {
	world   *World
	index   int
	gateway *gateway
	member  *roomlink.Member
	session int
	in      bool
	said    int
	says    []string
	asked   map[uint64]string // by the numbers of inputs that were not answered
	again   []string          // what was refused
	acked   []string
	heard   []heard
	seen    *frames.LogPosition
	gaps    int
	resumed int
}

// heard is something that was said to all.
type heard struct {
	at   frames.LogPosition
	text string
}

func (c *client) user() string { return fmt.Sprintf("usr_%d", c.index) }

// join enters the room, or comes back to it.
func (c *client) join() {
	c.session++
	c.in, c.asked = false, map[uint64]string{}
	join := &roomv1.Input_Join{
		User:             &commonv1.PublicUser{UserId: c.user(), Username: c.user()},
		GatewaySessionId: fmt.Sprintf("gws_%d_%d", c.index, c.session),
	}
	if c.seen != nil {
		join.Resume = &roomv1.LogPosition{Epoch: c.seen.Epoch, Seq: c.seen.Seq, Sub: c.seen.Sub}
		c.resumed++
	}
	c.member = c.gateway.enter(c, join)
}

func (c *client) actions() []action {
	if c.said == len(c.says) || !c.in {
		return nil
	}
	return []action{{fmt.Sprintf("client %d says %q", c.index, c.says[c.said]), func() {
		c.said++
		c.ask(c.says[c.said-1])
	}}}
}

// ask sends something that is to be said.
func (c *client) ask(text string) {
	c.world.numbers++
	c.asked[c.world.numbers] = text
	c.gateway.queue.Put(&roomv1.Input{
		Link: c.member.Link, Rid: 1, Number: c.world.numbers,
		Body: &roomv1.Input_Chat_{Chat: &roomv1.Input_Chat{Text: text, ClientMessageId: c.messageID(text)}},
	})
}

// messageID is set by clients that may have to repeat a message on another gateway.
func (c *client) messageID(text string) string {
	if c.world.setup.GatewayCrashes > 0 || c.world.lossy() {
		return text
	}
	return ""
}

// answered takes the answer to an input: to a chat, that it was said.
func (c *client) answered(number uint64) {
	if text, ok := c.asked[number]; ok {
		delete(c.asked, number)
		c.acked = append(c.acked, text)
	}
}

// refused takes the answer that an input was not done: it is done again when the client is in.
func (c *client) refused(number uint64) {
	if text, ok := c.asked[number]; ok {
		delete(c.asked, number)
		c.again = append(c.again, text)
	}
}

// hears takes an event.
func (c *client) hears(at frames.LogPosition, text string) {
	if c.seen != nil && at.Compare(*c.seen) <= 0 {
		c.world.fail("client %d hears %v after %v", c.index, at, *c.seen)
	}
	if c.seen != nil && at.Sub == 0 && at.Seq != c.seen.Seq+1 {
		c.world.fail("client %d hears number %d after %d", c.index, at.Seq, c.seen.Seq)
	}
	c.seen = &at
	if text != "" {
		c.heard = append(c.heard, heard{at, text})
	}
}

// joined takes a snapshot.
func (c *client) joined(at frames.LogPosition, resumed, gap bool) {
	c.in = true
	if gap {
		c.gaps++
	}
	if c.seen != nil && !gap && at != *c.seen {
		c.world.fail("client %d goes on at %v, but had seen %v", c.index, at, *c.seen)
	}
	c.seen = &at
	for _, text := range c.again {
		c.ask(text)
	}
	c.again = nil
}

// lost takes the loss of the gateway: the client comes back by another, and repeats what was not answered.
func (c *client) lost(elsewhere *gateway) {
	again := c.asked
	c.gateway = elsewhere
	c.join()
	for _, text := range c.says[:c.said] {
		for _, asked := range again {
			if asked == text {
				c.ask(text)
			}
		}
	}
}

// check looks at what this client knows.
func (c *client) check(settled bool) {
	times := map[string]int{}
	for _, h := range c.heard {
		times[h.text]++
		if times[h.text] > 1 && !c.world.lossy() {
			c.world.fail("client %d heard %q twice", c.index, h.text)
		}
	}
	if !settled {
		return
	}
	if !c.in {
		c.world.fail("client %d does not get into the room", c.index)
	}
	if c.gaps > 0 && !c.world.lossy() {
		c.world.fail("client %d has a gap", c.index)
	}
	for _, other := range c.world.clients {
		for _, text := range other.acked {
			if times[text] == 0 && !c.world.lossy() {
				c.world.fail("client %d has not heard %q, which was answered", c.index, text)
			}
		}
		if other.said < len(other.says) || len(other.asked)+len(other.again) > 0 {
			c.world.fail("client %d has said %d of %d, and %d are not answered",
				other.index, other.said, len(other.says), len(other.asked))
		}
	}
	if !c.world.lossy() {
		c.checkOrder()
	}
}

// checkOrder looks whether what each says is heard in the order in which it was said.
func (c *client) checkOrder() {
	for _, other := range c.world.clients {
		next := 0
		for _, h := range c.heard {
			for i, text := range other.says {
				if text != h.text {
					continue
				}
				if i < next {
					c.world.fail("client %d heard %q after what followed it", c.index, h.text)
				}
				next = i
			}
		}
	}
}
