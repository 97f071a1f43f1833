package main

import (
	"bufio"
	"net"
	"testing"

	"github.com/gobwas/ws"
	flatbuffers "github.com/google/flatbuffers/go"
	clientv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/client/v1"
)

func snapshot() []byte {
	b := flatbuffers.NewBuilder(128)
	clientv1.SnapshotStart(b)
	body := clientv1.SnapshotEnd(b)
	clientv1.ServerFrameStart(b)
	clientv1.ServerFrameAddBodyType(b, clientv1.ServerBodySnapshot)
	clientv1.ServerFrameAddBody(b, body)
	b.Finish(clientv1.ServerFrameEnd(b))
	return b.FinishedBytes()
}

func TestWhoIsToldAnewHasJoinedAllTheSame(t *testing.T) {
	c := &client{joined: make(chan struct{}), stats: &stats{}}
	for range 2 {
		c.serverFrame(snapshot())
	}
	<-c.joined
}

func TestWhoLeavesSaysGoodbyeAndWaitsForTheAnswer(t *testing.T) {
	here, there := net.Pipe()
	c := &client{conn: here, reader: bufio.NewReader(here), over: make(chan struct{}), stats: &stats{}}
	go c.read()
	left := make(chan struct{})
	go func() {
		c.leave()
		close(left)
	}()
	frame, err := ws.ReadFrame(there)
	if err != nil || frame.Header.OpCode != ws.OpClose {
		t.Fatalf("%v, %v; want a close frame", frame.Header, err)
	}
	goodbye := ws.UnmaskFrame(frame)
	if code, _ := ws.ParseCloseFrameData(goodbye.Payload); code != ws.StatusNormalClosure {
		t.Fatalf("closes with %d", code)
	}
	select {
	case <-left:
		t.Fatal("it is gone before the answer has come")
	default:
	}
	if err := ws.WriteFrame(there, ws.NewCloseFrame(goodbye.Payload)); err != nil {
		t.Fatal(err)
	}
	<-left
}
