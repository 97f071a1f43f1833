package shard

// names gives texts numbers, and counts who holds each: rooms, names of devices, and ids of an unusual form.
type names struct {
	numbers map[string]uint32
	entries []nameEntry // by number; 0 is the empty text
	free    []uint32
}

type nameEntry struct {
	text    string
	holders uint32
}

func newNames() *names {
	return &names{numbers: map[string]uint32{}, entries: make([]nameEntry, 1)}
}

// hold is the number of a text; release gives it back.
func (n *names) hold(text string) uint32 {
	if text == "" {
		return 0
	}
	number, ok := n.numbers[text]
	if !ok {
		if last := len(n.free) - 1; last >= 0 {
			number, n.free = n.free[last], n.free[:last]
		} else {
			number, n.entries = uint32(len(n.entries)), append(n.entries, nameEntry{})
		}
		n.numbers[text], n.entries[number].text = number, text
	}
	n.entries[number].holders++
	return number
}

func (n *names) release(number uint32) {
	if number == 0 {
		return
	}
	e := &n.entries[number]
	if e.holders--; e.holders == 0 {
		delete(n.numbers, e.text)
		*e, n.free = nameEntry{}, append(n.free, number)
	}
}

func (n *names) find(text string) (number uint32, ok bool) {
	if text == "" {
		return 0, true
	}
	number, ok = n.numbers[text]
	return number, ok
}

func (n *names) text(number uint32) string { return n.entries[number].text }
