package roomlink

import (
	"strings"
	"testing"

	roomv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	"google.golang.org/protobuf/proto"
)

func TestWhatIsSentAtOnceFitsIntoAMessage(t *testing.T) {
	const chats = 1024
	text := strings.Repeat("x", 4000)
	var q Queue
	for number := range uint64(chats) {
		if !q.Put(&roomv1.Input{Number: number + 1, Body: &roomv1.Input_Chat_{Chat: &roomv1.Input_Chat{Text: text}}}) {
			t.Fatalf("only %d can wait", number)
		}
	}
	next := uint64(1)
	for q.Len() > 0 {
		taken := q.Take(nil, chats)
		if size := proto.Size(&roomv1.AttachRequest_Inputs{Inputs: taken}); len(taken) == 0 || size > MaxTaken {
			t.Fatalf("%d inputs of %d bytes were taken at once", len(taken), size)
		}
		for _, in := range taken {
			if in.GetNumber() != next {
				t.Fatalf("number %d was taken when %d was next", in.GetNumber(), next)
			}
			next++
		}
	}
	if next != chats+1 {
		t.Errorf("%d were taken", next-1)
	}
	q.Reopen(nil)
	if q.Len() != chats {
		t.Errorf("%d are repeated", q.Len())
	}
}
