package socket

import (
	"errors"
	"io"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gobwas/ws"
	"github.com/worldmesh/worldmesh/go_services/gateway/dialect"
)

const (
	// MaxMessage bounds any message of a client, in bytes.
	MaxMessage = 64 << 10
	// MaxControl bounds every message but a call, and everything before hello.
	MaxControl = 4 << 10
	// readBuffer is small, for it stays with every idle socket.
	readBuffer = 512
	// readStep is how much room is made for a message at a time: a length that was only announced costs nothing.
	readStep = 4 << 10
	// maxFragments bounds the frames of one message.
	maxFragments = 64
	// MaxControls bounds the control frames in ControlWindow: pings are answered, and no limit of messages sees them.
	MaxControls   = 40
	ControlWindow = 10 * time.Second
)

// buffers are lent to readers while a message is being read.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 1024); return &b }}

// keptBuffer is the largest buffer that goes back to the pool.
const keptBuffer = 2 * readStep

// AllowLarge lets the client send messages up to MaxMessage. The reading goroutine calls it.
func (s *Socket) AllowLarge() { s.max = MaxMessage }

// Read waits for the next message and hands it to f, which must not keep it. It answers pings itself. The error is a
// *Violation, ErrGone, or one of the connection's; after the first there is nothing more to read.
func (s *Socket) Read(f func(message []byte)) error {
	header, err := s.next()
	if err != nil {
		return err
	}
	buf, _ := buffers.Get().(*[]byte)
	message, err := s.message(header, (*buf)[:0])
	if err == nil && !s.closed.Load() {
		f(message)
	}
	if len(message) > MaxControl {
		s.large.give(len(message))
	}
	if cap(message) <= keptBuffer {
		*buf = message[:0]
		buffers.Put(buf)
	}
	return err
}

// next reads up to the header of the next frame that is not a control frame.
func (s *Socket) next() (ws.Header, error) {
	for {
		h, err := ws.ReadHeaderBuffer(s.reader, s.header[:])
		if err != nil {
			return h, ended(err)
		}
		if v := checkFrame(h); v != nil {
			return h, v
		}
		if !h.OpCode.IsControl() {
			return h, nil
		}
		if v := s.countControl(); v != nil {
			return h, v
		}
		if err := s.control(h); err != nil {
			return h, err
		}
	}
}

func checkFrame(h ws.Header) *Violation {
	switch {
	case h.Rsv != 0:
		return &Violation{CloseProtocol, "no extension was agreed on"}
	case !h.Masked:
		return &Violation{CloseProtocol, "a client must mask its frames"}
	case h.OpCode.IsReserved():
		return &Violation{CloseProtocol, "a reserved opcode"}
	case h.OpCode.IsControl() && (h.Length > ws.MaxControlFramePayloadSize || !h.Fin):
		return &Violation{CloseProtocol, "a control frame is too long or in parts"}
	}
	return nil
}

// countControl refuses control frames that come too fast. It looks at the clock once for each MaxControls of them: so
// many may come at once, and the next so many only when the time for them has passed.
func (s *Socket) countControl() *Violation {
	s.controls++
	if s.controls <= MaxControls {
		return nil
	}
	now := time.Now()
	if now.Sub(s.controlsFrom) < ControlWindow {
		return &Violation{ClosePolicy, "too many control frames"}
	}
	s.controls, s.controlsFrom = 1, now
	return nil
}

// control answers a ping or a close.
func (s *Socket) control(h ws.Header) error {
	var space [ws.MaxControlFramePayloadSize]byte
	payload := space[:h.Length]
	if _, err := io.ReadFull(s.reader, payload); err != nil {
		return ended(err)
	}
	ws.Cipher(payload, h.Mask, 0)
	switch h.OpCode {
	case ws.OpPing:
		if s.closed.Load() {
			return nil
		}
		err := s.Send(ws.MustCompileFrame(ws.NewPongFrame(payload)))
		if errors.Is(err, ErrSlow) {
			return nil // it would not hear it in time anyway
		}
		return err
	case ws.OpClose:
		return s.answerClose(payload)
	}
	return nil
}

func (s *Socket) answerClose(payload []byte) error {
	code, reason := ws.ParseCloseFrameData(payload)
	if len(payload) > 0 {
		if err := ws.CheckCloseFrameData(code, reason); err != nil {
			return &Violation{CloseProtocol, "a close frame that says nothing valid"}
		}
	}
	s.answered = true
	s.leftFirst = s.Close(CloseNormal, "")
	return ErrGone
}

// message reads a whole message, and the frames that continue it, into a buffer that was lent.
func (s *Socket) message(h ws.Header, into []byte) ([]byte, error) {
	switch {
	case h.OpCode == ws.OpContinuation:
		return into, &Violation{CloseProtocol, "nothing to continue"}
	case (h.OpCode == ws.OpText) != (s.Dialect == dialect.JSON):
		return into, &Violation{ClosePolicy, "text is for the JSON dialect, binary for FlatBuffers"}
	}
	op := h.OpCode
	message, err := s.frame(h, into)
	for fragments := 1; err == nil && !h.Fin; fragments++ {
		if h, err = s.next(); err != nil {
			break
		}
		if h.OpCode != ws.OpContinuation || fragments == maxFragments {
			return message, &Violation{CloseProtocol, "a continuation was expected, and not so many"}
		}
		message, err = s.frame(h, message)
	}
	if err == nil && op == ws.OpText && !utf8.Valid(message) {
		err = &Violation{CloseNotUTF8, "a text is not UTF-8"}
	}
	return message, err
}

// frame appends one frame's payload. Room is made as it comes, and for large messages only out of the budget.
func (s *Socket) frame(h ws.Header, into []byte) ([]byte, error) {
	start, length := len(into), h.Length
	if int64(start)+length > int64(s.max) {
		return into, &Violation{CloseTooLarge, "the message is too large"}
	}
	for left := int(length); left > 0; {
		n, had := min(left, readStep), len(into)
		if !s.large.take(had, had+n) {
			return into, &Violation{CloseOverloaded, "the gateway has no room for a large message now"}
		}
		into = append(into, make([]byte, n)...)
		if _, err := io.ReadFull(s.reader, into[had:]); err != nil {
			return into, ended(err)
		}
		left -= n
	}
	ws.Cipher(into[start:], h.Mask, 0)
	return into, nil
}

func ended(err error) error {
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return ErrGone
	case errors.Is(err, ws.ErrHeaderLengthMSB), errors.Is(err, ws.ErrHeaderLengthUnexpected):
		return &Violation{CloseProtocol, "a frame's length is broken"}
	}
	return err
}
