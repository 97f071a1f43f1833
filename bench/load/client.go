package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"
	flatbuffers "github.com/google/flatbuffers/go"
	"github.com/worldmesh/worldmesh/clients/go/statebatch"
	clientv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/client/v1"
)

const (
	updateSize = 64
	// A state of 20 bytes travels beside the values: together an update of 64 bytes.
	valuesSize = updateSize - 20
	// leaveTime bounds how long a client waits for the answer to its goodbye.
	leaveTime = 2 * time.Second
	subproto  = "worldmesh.v1.flatbuffers"
)

// client is one socket.
type client struct {
	conn   net.Conn
	reader *bufio.Reader
	mu     sync.Mutex // writes
	last   time.Time  // of the last write
	floor  bool
	room   string
	place  [3]float32 // guarded by mu
	course float64    // where it walks to, in radians
	joined chan struct{}
	stats  *stats
	b      *flatbuffers.Builder
	over   chan struct{} // closed when nothing more is read
	// messages is how many with updates have come; the reading goroutine's.
	messages int
	// heard is the number of the chat that was heard last; the reading goroutine's, too.
	heard uint64
	batch statebatch.Batch // the one that was read last
}

// stats are what became of all that was sent while the window was open, whenever it came.
type stats struct {
	from, to   atomic.Int64 // Unix time, ns; 0 while the window has not opened, or not closed
	sent       atomic.Int64
	deliveries atomic.Int64
	bytes      atomic.Int64 // received, whenever that was

	mu        sync.Mutex
	latencies []float64
}

// counts says whether what was sent at a time is within the window.
func (s *stats) counts(sent int64) bool {
	from, to := s.from.Load(), s.to.Load()
	return from != 0 && sent >= from && (to == 0 || sent < to)
}

// sending takes note that something is sent, and says when.
func (s *stats) sending() int64 {
	now := time.Now().UnixNano()
	if s.counts(now) {
		s.sent.Add(1)
	}
	return now
}

// came takes note of what was sent at a time. To sample is to measure how long it took as well.
func (s *stats) came(sent int64, sample bool) {
	if !s.counts(sent) {
		return
	}
	s.deliveries.Add(1)
	if sample {
		took := float64(time.Now().UnixNano()-sent) / 1e6
		s.mu.Lock()
		s.latencies = append(s.latencies, took)
		s.mu.Unlock()
	}
}

func dialer(ca string) (*ws.Dialer, error) {
	d := &ws.Dialer{Timeout: 20 * time.Second, ReadBufferSize: 1024, WriteBufferSize: 512}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, err
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(pem)
		d.TLSConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return d, nil
}

func open(ca, url, room, token string, floor bool, s *stats) (*client, error) {
	d, err := dialer(ca)
	if err != nil {
		return nil, err
	}
	if floor {
		url += "/" + room
	} else {
		d.Protocols = []string{subproto}
	}
	conn, buffered, _, err := d.Dial(context.Background(), url)
	if err != nil {
		return nil, err
	}
	c := &client{
		conn: conn, floor: floor, room: room, stats: s,
		joined: make(chan struct{}), over: make(chan struct{}), b: flatbuffers.NewBuilder(256), reader: buffered,
	}
	if c.reader == nil {
		c.reader = bufio.NewReaderSize(conn, 4096)
	}
	go c.read()
	if floor {
		close(c.joined)
		return c, nil
	}
	if err := c.hello(token); err != nil {
		return nil, err
	}
	select {
	case <-c.joined:
		return c, nil
	case <-time.After(20 * time.Second):
		return nil, fmt.Errorf("no snapshot of room %s", room)
	}
}

func (c *client) hello(token string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.b.Reset()
	t := c.b.CreateString(token)
	clientv1.HelloStart(c.b)
	clientv1.HelloAddAccessToken(c.b, t)
	if err := c.frame(1, clientv1.ClientBodyHello, clientv1.HelloEnd(c.b)); err != nil {
		return err
	}
	c.b.Reset()
	r := c.b.CreateString(c.room)
	clientv1.JoinStart(c.b)
	clientv1.JoinAddRoomId(c.b, r)
	return c.frame(2, clientv1.ClientBodyJoin, clientv1.JoinEnd(c.b))
}

func (c *client) frame(rid uint32, kind clientv1.ClientBody, body flatbuffers.UOffsetT) error {
	clientv1.ClientFrameStart(c.b)
	clientv1.ClientFrameAddRid(c.b, rid)
	clientv1.ClientFrameAddBodyType(c.b, kind)
	clientv1.ClientFrameAddBody(c.b, body)
	c.b.FinishWithFileIdentifier(clientv1.ClientFrameEnd(c.b), []byte("WMC1"))
	return c.write(c.b.FinishedBytes())
}

func (c *client) write(message []byte) error {
	c.last = time.Now()
	frame := ws.MaskFrame(ws.NewBinaryFrame(message))
	_, err := c.conn.Write(ws.MustCompileFrame(frame))
	return err
}

// update sends a step with the time in it.
func (c *client) update() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := uint64(c.stats.sending())
	if c.floor {
		var message [updateSize]byte
		binary.LittleEndian.PutUint64(message[:], now)
		return c.write(message[:])
	}
	var values [valuesSize]byte
	binary.LittleEndian.PutUint64(values[:], now)
	c.b.Reset()
	v := c.b.CreateByteVector(values[:])
	clientv1.MoveStart(c.b)
	clientv1.MoveAddPosition(c.b, clientv1.CreateVec3(c.b, c.place[0], c.place[1], c.place[2]))
	clientv1.MoveAddValues(c.b, v)
	return c.frame(0, clientv1.ClientBodyMove, clientv1.MoveEnd(c.b))
}

// stride is how far somebody walks between two steps, a quarter of a second apart.
const stride = 0.35

// step walks on, with nothing to say but where it is.
func (c *client) step() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.course += 0.2 // in a circle, which stays in the room
	c.place[0] += float32(stride * math.Sin(c.course))
	c.place[2] += float32(stride * math.Cos(c.course))
	c.b.Reset()
	clientv1.MoveStart(c.b)
	clientv1.MoveAddPosition(c.b, clientv1.CreateVec3(c.b, c.place[0], c.place[1], c.place[2]))
	clientv1.MoveAddYaw(c.b, uint16(int(c.course/(2*math.Pi)*65536)&0xffff))
	clientv1.MoveAddAnimation(c.b, 1)
	return c.frame(0, clientv1.ClientBodyMove, clientv1.MoveEnd(c.b))
}

// ping says for as long as the socket lives that it is there, as often as the gateway wants to hear it of those who say
// nothing else: it closes those of which it hears nothing.
func (c *client) ping(every time.Duration) {
	for range time.Tick(every) {
		if c.pinged(every) != nil {
			return
		}
	}
}

// pinged sends a ping, if nothing was sent for so long that the next chance might be too late.
func (c *client) pinged(every time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.last) < every/2 {
		return nil
	}
	c.b.Reset()
	clientv1.PingStart(c.b)
	return c.frame(0, clientv1.ClientBodyPing, clientv1.PingEnd(c.b))
}

// say sends a chat with the time in it.
func (c *client) say() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.b.Reset()
	text := c.b.CreateString(fmt.Sprintf("%d", c.stats.sending()))
	clientv1.ChatStart(c.b)
	clientv1.ChatAddText(c.b, text)
	return c.frame(0, clientv1.ClientBodyChat, clientv1.ChatEnd(c.b))
}

// leave closes the socket as a client does that is done: its place in the room goes with it.
func (c *client) leave() {
	defer c.conn.Close()
	if c.floor {
		return
	}
	c.mu.Lock()
	_, err := c.conn.Write(ws.MustCompileFrame(ws.MaskFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusNormalClosure, "")))))
	c.mu.Unlock()
	if err == nil {
		select {
		case <-c.over:
		case <-time.After(leaveTime):
		}
	}
}

func (c *client) read() {
	defer close(c.over)
	var buf []byte
	for {
		h, err := ws.ReadHeader(c.reader)
		if err != nil {
			return
		}
		if int64(cap(buf)) < h.Length {
			buf = make([]byte, h.Length)
		}
		buf = buf[:h.Length]
		if _, err := io.ReadFull(c.reader, buf); err != nil {
			return
		}
		c.stats.bytes.Add(h.Length + int64(ws.HeaderSize(h)))
		if h.OpCode == ws.OpClose {
			if len(buf) >= 2 && ws.StatusCode(binary.BigEndian.Uint16(buf)) == ws.StatusNormalClosure {
				return
			}
			fmt.Fprintf(os.Stderr, "closed: %s\n", buf)
			return
		}
		if c.floor {
			c.floorMessage(buf)
		} else {
			c.serverFrame(buf)
		}
	}
}

// sampled is which of a message's updates is measured: one is enough for percentiles, and cheap. Each in its turn, for
// the first of a tick has waited longest.
func (c *client) sampled(updates int) int {
	c.messages++
	return c.messages % max(updates, 1)
}

// floorMessage is the updates of a tick.
func (c *client) floorMessage(message []byte) {
	sampled := c.sampled(len(message) / updateSize)
	for i := range len(message) / updateSize {
		c.stats.came(sentAt(message[i*updateSize:]), i == sampled)
	}
}

func sentAt(values []byte) int64 { return int64(binary.LittleEndian.Uint64(values)) }

func (c *client) serverFrame(message []byte) {
	if statebatch.Is(message) {
		if err := c.batch.Read(message); err != nil {
			fmt.Fprintln(os.Stderr, "error:", err)
			return
		}
		sampled := c.sampled(len(c.batch.Values))
		for i, v := range c.batch.Values {
			c.stats.came(sentAt(v.Values), i == sampled)
		}
		return
	}
	root := clientv1.GetRootAsServerFrame(message, 0)
	var t flatbuffers.Table
	if !root.Body(&t) {
		return
	}
	switch root.BodyType() {
	case clientv1.ServerBodyWelcome:
		var welcome clientv1.Welcome
		welcome.Init(t.Bytes, t.Pos)
		go c.ping(time.Duration(welcome.HeartbeatMs()) * time.Millisecond)
	case clientv1.ServerBodySnapshot:
		c.snapshot(t)
	case clientv1.ServerBodyRoomEvent:
		c.event(t)
	case clientv1.ServerBodyError:
		var e clientv1.Error
		e.Init(t.Bytes, t.Pos)
		fmt.Fprintf(os.Stderr, "error: %s %s\n", e.Reason(), e.Message())
	}
}

func (c *client) snapshot(t flatbuffers.Table) {
	var s clientv1.Snapshot
	s.Init(t.Bytes, t.Pos)
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range s.MembersLength() {
		var m clientv1.Member
		s.Members(&m, i)
		if m.State(nil).Entity() == s.SelfEntity() {
			p := m.State(nil).Position(nil)
			c.place = [3]float32{p.X(), p.Y(), p.Z()}
		}
	}
	select {
	case <-c.joined: // it was told anew, because it has missed something
	default:
		close(c.joined)
	}
}

func (c *client) event(t flatbuffers.Table) {
	var e clientv1.RoomEvent
	e.Init(t.Bytes, t.Pos)
	var body flatbuffers.Table
	if e.BodyType() != clientv1.EventBodyChatMessage || !e.Body(&body) || e.Seq() <= c.heard {
		return // what is heard again makes up for nothing that is lost
	}
	c.heard = e.Seq()
	var chat clientv1.ChatMessage
	chat.Init(body.Bytes, body.Pos)
	var sent int64
	if _, err := fmt.Sscan(strings.TrimSpace(string(chat.Text())), &sent); err == nil {
		c.stats.came(sent, true)
	}
}
