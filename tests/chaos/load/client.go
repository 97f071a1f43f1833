package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"
	flatbuffers "github.com/google/flatbuffers/go"
	"github.com/worldmesh/worldmesh/clients/go/statebatch"
	clientv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/client/v1"
)

const (
	subprotocol = "worldmesh.v1.flatbuffers"
	dialTimeout = 5 * time.Second
	// writeTimeout is how long a client tries to send something.
	writeTimeout = 20 * time.Second
	// silence is how long a connection may say nothing before the client gives it up, until it is told how often to ping:
	// twice as long, as the gateway does.
	silence = 8 * time.Second
	// pingEvery is how often a client looks whether it has to ping.
	pingEvery = 500 * time.Millisecond
	// measuring is how many clients of each room measure how old the steps are that they see.
	measuring = 4
)

// goodbye has the gateway take the member out of its room at once.
var goodbye = ws.MustCompileFrame(ws.MaskFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusNormalClosure, ""))))

// position is a place in the ordered channel.
type position struct {
	epoch, seq uint64
	sub        uint32
}

// client is a person who walks, talks and listens, and comes back when it loses its socket.
type client struct {
	load  *load
	index int
	first int // which gateway is its first
	room  *room
	token string

	mu       sync.Mutex // writes, and what follows
	conn     net.Conn
	gateway  int // which its socket is at
	in       bool
	seen     *position
	place    statebatch.Vec3
	rid      uint32
	asked    map[uint32]*message
	pending  []*message // not answered, in order
	heard    map[string]int
	sockets  int
	began    time.Time // when it dialed last
	backs    int       // how often it came back since the mark
	gaps     []gap
	disorder int
	lefts    int
	dead     bool // has lost its socket and does not come back

	sees     view
	batch    statebatch.Batch
	newest   map[uint32]uint64 // of each entity the newest step's time
	silence  time.Duration
	lastSent time.Time
	lastPing time.Time
	heardAt  atomic.Int64 // when something came last, Unix time, ns
	slow     *throttle    // of one that reads slowly at times
	late     bool         // stays out until it is called
	since    time.Time    // when it came in first
	mortal   bool         // does not come back once things go wrong
}

// gap is where a client was told that it has missed something: after one place, up to another.
type gap struct{ after, upTo position }

// covers says whether what was said in a place is among what was missed.
func (g gap) covers(at spot) bool {
	before := func(a, b spot) bool { return a.seq < b.seq || a.seq == b.seq && a.sub < b.sub }
	return before(g.after.spot(), at) && !before(g.upTo.spot(), at)
}

// message is something that is to be said once.
type message struct {
	text  string
	first time.Time
}

// run keeps a socket open until ctx ends.
func (c *client) run(ctx context.Context) {
	if !c.invited(ctx) {
		return
	}
	for try := 0; ctx.Err() == nil; try++ {
		err := c.session(ctx, (c.first+c.sockets)%len(c.load.plan.URLs))
		if ctx.Err() != nil {
			return
		}
		c.load.note("socket", err)
		if c.mortal && c.load.marked() {
			c.mu.Lock()
			c.dead = true
			c.mu.Unlock()
			return
		}
		if time.Since(c.began) > 5*time.Second {
			try = 0
		}
		pause := min(50*time.Millisecond<<min(try, 5), time.Second)
		time.Sleep(pause/2 + rand.N(pause/2))
	}
}

// session is one socket's life, at a gateway.
func (c *client) session(ctx context.Context, gateway int) error {
	c.sockets++
	dialer := ws.Dialer{
		Timeout: dialTimeout, ReadBufferSize: 1024, WriteBufferSize: 512, Protocols: []string{subprotocol},
		TLSConfig: &tls.Config{RootCAs: c.load.roots, MinVersion: tls.VersionTLS12},
	}
	dial := (&net.Dialer{}).DialContext
	if c.slow != nil {
		dial = c.slow.dial
	}
	shake := &handshake{}
	dialer.NetDial = func(ctx context.Context, network, addr string) (conn net.Conn, err error) {
		if conn, err = dial(ctx, network, addr); err != nil {
			return nil, err
		}
		shake.begin(conn)
		return shake, nil
	}
	shake.knock() // before the time for dialing begins
	c.began = time.Now()
	conn, reader, _, err := dialer.Dial(ctx, c.load.plan.URLs[gateway])
	shake.done()
	if err != nil {
		return fmt.Errorf("dial: %w", err)
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() {
		_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = conn.Write(goodbye)
		_ = conn.Close()
	})
	defer stop()
	if reader == nil {
		reader = bufio.NewReaderSize(conn, 2048)
	}
	c.mu.Lock()
	c.conn, c.gateway = conn, gateway
	c.in, c.asked, c.silence = false, map[uint32]*message{}, silence
	c.lastSent = time.Now() // the first frame must be hello, not a ping
	c.heardAt.Store(c.lastSent.UnixNano())
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.conn, c.in = nil, false
		c.mu.Unlock()
	}()
	b := flatbuffers.NewBuilder(512)
	token := b.CreateString(c.token)
	clientv1.HelloStart(b)
	clientv1.HelloAddAccessToken(b, token)
	if err := c.send(b, clientv1.ClientBodyHello, clientv1.HelloEnd(b), 1); err != nil {
		return err
	}
	return c.read(conn, reader)
}

func (c *client) read(conn net.Conn, reader *bufio.Reader) error {
	var buf []byte
	for {
		now := time.Now()
		c.heardAt.Store(now.UnixNano())
		_ = conn.SetReadDeadline(now.Add(c.patience()))
		h, err := ws.ReadHeader(reader)
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		if int64(cap(buf)) < h.Length {
			buf = make([]byte, h.Length)
		}
		buf = buf[:h.Length]
		if _, err := io.ReadFull(reader, buf); err != nil {
			return fmt.Errorf("read: %w", err)
		}
		switch h.OpCode {
		case ws.OpClose:
			code, reason := ws.ParseCloseFrameData(buf)
			c.load.closed(code)
			return fmt.Errorf("closed with %d %s", code, reason)
		case ws.OpBinary:
			if err := c.take(buf); err != nil {
				return err
			}
		}
	}
}

func (c *client) take(data []byte) error {
	if statebatch.Is(data) {
		return c.states(data)
	}
	root := clientv1.GetRootAsServerFrame(data, 0)
	var t flatbuffers.Table
	if !root.Body(&t) {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch root.BodyType() {
	case clientv1.ServerBodyWelcome:
		var welcome clientv1.Welcome
		welcome.Init(t.Bytes, t.Pos)
		c.silence = 2 * time.Duration(welcome.HeartbeatMs()) * time.Millisecond
		c.backs++
		return c.join()
	case clientv1.ServerBodySnapshot:
		return c.snapshot(t)
	case clientv1.ServerBodyRoomEvent:
		c.event(t)
	case clientv1.ServerBodyRoster:
		var roster clientv1.Roster
		roster.Init(t.Bytes, t.Pos)
		c.sees.roster(&roster)
	case clientv1.ServerBodyCorrection:
		var correction clientv1.Correction
		correction.Init(t.Bytes, t.Pos)
		c.sees.correct(&correction)
	case clientv1.ServerBodyOk:
		c.answered(root.Rid())
	case clientv1.ServerBodyError:
		var e clientv1.Error
		e.Init(t.Bytes, t.Pos)
		return c.refused(root.Rid(), string(e.Reason()), e.RetryAfterMs())
	case clientv1.ServerBodyRoomLeft:
		var left clientv1.RoomLeft
		left.Init(t.Bytes, t.Pos)
		c.in = false
		c.lefts++
		c.load.note("left", errors.New(string(left.Reason())))
		return c.join()
	}
	return nil
}

// states takes in where others are.
func (c *client) states(data []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.batch.Read(data); err != nil {
		return err
	}
	c.room.state(c.gateway)
	c.sees.states(&c.batch)
	c.measure(&c.batch)
	return nil
}

// join enters the room, or comes back to it.
func (c *client) join() error {
	b := flatbuffers.NewBuilder(128)
	id := b.CreateString(c.room.id)
	var resume flatbuffers.UOffsetT
	if c.seen != nil {
		clientv1.PositionStart(b)
		clientv1.PositionAddEpoch(b, c.seen.epoch)
		clientv1.PositionAddSeq(b, c.seen.seq)
		clientv1.PositionAddSub(b, c.seen.sub)
		resume = clientv1.PositionEnd(b)
	}
	clientv1.JoinStart(b)
	clientv1.JoinAddRoomId(b, id)
	if resume != 0 {
		clientv1.JoinAddResume(b, resume)
	}
	return c.sendLocked(b, clientv1.ClientBodyJoin, clientv1.JoinEnd(b), 2)
}

func (c *client) snapshot(t flatbuffers.Table) error {
	var s clientv1.Snapshot
	s.Init(t.Bytes, t.Pos)
	at := position{s.Epoch(), s.Seq(), s.Sub()}
	if s.Gap() {
		missed := gap{upTo: at}
		if c.seen != nil {
			missed.after = *c.seen
		} else { // it has missed nothing
			c.disorder++
			c.load.note("disorder", errors.New("a gap for somebody who had seen nothing"))
		}
		c.gaps = append(c.gaps, missed)
	} else if c.seen != nil && at != *c.seen {
		c.disorder++
	}
	c.seen = &at
	c.sees.snapshot(&s)
	c.place = c.sees.self()
	if c.since.IsZero() {
		c.since = time.Now()
	}
	if !c.in {
		c.in = true
		c.load.joined(c)
	}
	for _, m := range c.pending { // what was not answered is said again, under its id
		if err := c.say(m); err != nil {
			return err
		}
	}
	return nil
}

func (c *client) event(t flatbuffers.Table) {
	var e clientv1.RoomEvent
	e.Init(t.Bytes, t.Pos)
	at := position{e.Epoch(), e.Seq(), e.Sub()}
	if c.seen != nil {
		next := at.seq == c.seen.seq+1 && at.sub == 0 || at.seq == c.seen.seq && at.sub > c.seen.sub
		if !next || at.epoch < c.seen.epoch {
			c.disorder++
			c.load.note("disorder", fmt.Errorf("%v after %v", at, *c.seen))
		}
	}
	c.seen = &at
	var body flatbuffers.Table
	if !e.Body(&body) {
		return
	}
	switch e.BodyType() {
	case clientv1.EventBodyChatMessage:
		var chat clientv1.ChatMessage
		chat.Init(body.Bytes, body.Pos)
		c.heard[string(chat.Text())]++
		c.room.heard(at, string(chat.Text()))
	case clientv1.EventBodyMemberJoined:
		var joined clientv1.MemberJoined
		joined.Init(body.Bytes, body.Pos)
		c.sees.joined(joined.Member(nil), !joined.OutOfSight())
		c.room.cameOrWent(&c.room.came, at)
	case clientv1.EventBodyMemberLeft:
		var left clientv1.MemberLeft
		left.Init(body.Bytes, body.Pos)
		c.sees.left(left.Entity())
		c.room.cameOrWent(&c.room.went, at)
	}
}

// idLength is how long the id of a message may be; it is in its first words.
const idLength = 64

// speak says something new.
func (c *client) speak(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := &message{text: text, first: time.Now()}
	c.pending = append(c.pending, m)
	c.room.saying(text)
	if c.in {
		_ = c.say(m)
	}
}

func (c *client) say(m *message) error {
	c.rid++
	rid := c.rid + 1000
	c.asked[rid] = m
	b := flatbuffers.NewBuilder(128)
	text, id := b.CreateString(m.text), b.CreateString(m.text[:min(len(m.text), idLength)])
	clientv1.ChatStart(b)
	clientv1.ChatAddText(b, text)
	clientv1.ChatAddClientMessageId(b, id)
	return c.sendLocked(b, clientv1.ClientBodyChat, clientv1.ChatEnd(b), rid)
}

func (c *client) answered(rid uint32) {
	m := c.asked[rid]
	if m == nil {
		return
	}
	delete(c.asked, rid)
	for i, other := range c.pending {
		if other == m {
			c.pending = append(c.pending[:i], c.pending[i+1:]...)
			break
		}
	}
	c.room.acked(m.text, c.gateway, time.Since(m.first))
}

// refused takes an error. What was to be said is said again in a while. One that answers nothing tells why the socket is
// about to be closed.
func (c *client) refused(rid uint32, reason string, retryAfterMS uint32) error {
	c.load.note("refused", errors.New(reason))
	if rid == 0 {
		return nil
	}
	c.room.refused(retryAfterMS > 0)
	if rid == 2 {
		time.AfterFunc(100*time.Millisecond+rand.N(200*time.Millisecond), func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.conn != nil && !c.in {
				_ = c.join()
			}
		})
		return nil
	}
	if m := c.asked[rid]; m != nil {
		delete(c.asked, rid)
		time.AfterFunc(500*time.Millisecond, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.in {
				_ = c.say(m)
			}
		})
	}
	return nil
}

// stampSize is of what goes with each step: when it was made, in ns, and by which program.
const stampSize = 16

// walk sends a step, with the time at which it was made.
func (c *client) walk(b *flatbuffers.Builder) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.in {
		return
	}
	b.Reset()
	var values [44]byte
	binary.LittleEndian.PutUint64(values[:], uint64(time.Now().UnixNano()))
	binary.LittleEndian.PutUint64(values[8:], uint64(me))
	v := b.CreateByteVector(values[:])
	to := statebatch.Vec3{X: c.place.X + rand.Float32()*0.1, Y: c.place.Y, Z: c.place.Z}.Rounded()
	clientv1.MoveStart(b)
	clientv1.MoveAddPosition(b, clientv1.CreateVec3(b, to.X, to.Y, to.Z))
	clientv1.MoveAddValues(b, v)
	if c.sendLocked(b, clientv1.ClientBodyMove, clientv1.MoveEnd(b), 0) == nil {
		c.sees.walked(to)
	}
}

// measure takes note of how old the steps of others are that it sees. Those of another program's are not: they tell how
// late that one is, too.
func (c *client) measure(batch *statebatch.Batch) {
	if c.slow != nil || c.index >= measuring*len(c.load.rooms) {
		return
	}
	now := time.Now()
	for _, v := range batch.Values {
		if len(v.Values) < stampSize || v.Entity == c.sees.entity {
			continue
		}
		made, by := binary.LittleEndian.Uint64(v.Values), binary.LittleEndian.Uint64(v.Values[8:])
		if by != uint64(me) {
			continue
		}
		if c.newest[v.Entity] < made { // who stands still may be told of again
			c.newest[v.Entity] = made
			c.room.stepSeen(now, now.Sub(time.Unix(0, int64(made))))
		}
	}
}

// patience is how long this connection may say nothing. One that reads slowly does not know what is said.
func (c *client) patience() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.slow != nil && c.slow.on() {
		return time.Minute
	}
	if patience := c.load.plan.Patience; patience > 0 {
		return time.Duration(patience * float64(time.Second))
	}
	return c.silence
}

// ping says that it is there, if it has said nothing for long, and asks whether the gateway is, if that has not.
func (c *client) ping() {
	c.mu.Lock()
	defer c.mu.Unlock()
	quiet := c.silence/2 - pingEvery
	heard := time.Unix(0, c.heardAt.Load())
	if time.Since(c.lastSent) < quiet && (time.Since(heard) < quiet || time.Since(c.lastPing) < quiet) {
		return
	}
	c.lastPing = time.Now()
	b := flatbuffers.NewBuilder(64)
	clientv1.PingStart(b)
	_ = c.sendLocked(b, clientv1.ClientBodyPing, clientv1.PingEnd(b), 0)
}

func (c *client) send(b *flatbuffers.Builder, kind clientv1.ClientBody, body flatbuffers.UOffsetT, rid uint32) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sendLocked(b, kind, body, rid)
}

func (c *client) sendLocked(b *flatbuffers.Builder, kind clientv1.ClientBody, body flatbuffers.UOffsetT, rid uint32) error {
	if c.conn == nil {
		return nil
	}
	clientv1.ClientFrameStart(b)
	clientv1.ClientFrameAddRid(b, rid)
	clientv1.ClientFrameAddBodyType(b, kind)
	clientv1.ClientFrameAddBody(b, body)
	b.FinishWithFileIdentifier(clientv1.ClientFrameEnd(b), []byte("WMC1"))
	frame := ws.MaskFrame(ws.NewBinaryFrame(b.FinishedBytes()))
	c.lastSent = time.Now()
	_ = c.conn.SetWriteDeadline(c.lastSent.Add(writeTimeout))
	_, err := c.conn.Write(ws.MustCompileFrame(frame))
	return err
}
