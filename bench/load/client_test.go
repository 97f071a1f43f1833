package main

import (
	"testing"

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
