package shard

// id is an id in 16 bytes: the ULID of one like `usr_01HZY…`, or the number of any other text.
type id struct{ high, low uint64 }

// odd marks a number in id.high. No ULID before the year 6429 has this bit.
const odd = 1 << 63

// ids turns ids of one kind into 16 bytes and back.
type ids struct {
	prefix string
	others *names
}

func newIDs(prefix string) ids { return ids{prefix: prefix, others: newNames()} }

// hold is a text as an id; release gives it back.
func (s ids) hold(text string) id {
	if i, ok := s.pack(text); ok {
		return i
	}
	return id{high: odd, low: uint64(s.others.hold(text))}
}

func (s ids) release(i id) {
	if i.high&odd != 0 {
		s.others.release(uint32(i.low))
	}
}

// find is the id of a text; false if nobody holds it.
func (s ids) find(text string) (i id, ok bool) {
	if i, ok = s.pack(text); ok {
		return i, true
	}
	number, ok := s.others.find(text)
	return id{high: odd, low: uint64(number)}, ok
}

func (s ids) text(i id) string {
	if i.high&odd != 0 {
		return s.others.text(uint32(i.low))
	}
	text := make([]byte, len(s.prefix)+ulidLen)
	copy(text, s.prefix)
	for at := len(text) - 1; at >= len(s.prefix); at-- {
		text[at] = crockford[i.low&31]
		i.low, i.high = i.low>>5|i.high<<59, i.high>>5
	}
	return string(text)
}

const (
	crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	ulidLen   = 26
	notADigit = 0xff
)

var digits = func() (of [256]byte) {
	for i := range of {
		of[i] = notADigit
	}
	for value, digit := range []byte(crockford) {
		of[digit] = byte(value)
	}
	return of
}()

// pack reads the ULID of an id; false if it is not exactly what text would write.
func (s ids) pack(text string) (i id, ok bool) {
	at := len(s.prefix)
	if len(text) != at+ulidLen || text[:at] != s.prefix || text[at] > '3' {
		return id{}, false
	}
	for ; at < len(text); at++ {
		digit := digits[text[at]]
		if digit == notADigit {
			return id{}, false
		}
		i.high, i.low = i.high<<5|i.low>>59, i.low<<5|uint64(digit)
	}
	return i, true
}
