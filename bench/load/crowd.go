package main

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"

	presencev1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/presence/v1"
)

// The crowd that presence is measured with: every tenth user is on two devices, so each gateway has 50,000 sessions; six
// of ten are in rooms, fifty in each.
const (
	crowdUsers    = 1_000_000
	crowdSessions = crowdUsers + crowdUsers/10
	crowdGateways = 22
	crowdRooms    = 12_000
)

// presenceShards is how many there are by the contract.
const presenceShards = 16

// shardOf is a user's shard, by the contract.
func shardOf(user string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(user))
	return h.Sum32() % presenceShards
}

// crockford is the alphabet of ULIDs.
const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// madeID is an id like those that services make. The same number makes the same.
func madeID(prefix string, number int) string {
	text := append(make([]byte, 0, len(prefix)+26), prefix...)
	text = append(text, "01KAXB"...) // about the same time, as ids have that are made today
	random := rand.NewPCG(uint64(number), uint64(len(prefix)))
	for range 20 {
		text = append(text, crockford[random.Uint64()&31])
	}
	return string(text)
}

func userID(user int) string       { return madeID("usr_", user) }
func sessionID(session int) string { return madeID("gws_", session) }

// userOf is whose a session is: past one for each user, every tenth has another.
func userOf(session int) int {
	if session < crowdUsers {
		return session
	}
	return (session - crowdUsers) * 10
}

func gatewayOf(session int) int { return session % crowdGateways }

// roomOf is where a session is at first.
func roomOf(session int) string {
	if session%10 < 4 {
		return ""
	}
	return room(session)
}

func room(number int) string { return madeID("room_", number%crowdRooms) }

// change is what a gateway says of a session that is in a room.
func change(session int, room string) *presencev1.AttachRequest_Change {
	return &presencev1.AttachRequest_Change{
		UserId: userID(userOf(session)),
		Device: &presencev1.Device{GatewaySessionId: sessionID(session), DeviceName: "web", RoomId: room},
	}
}

// left is what a gateway says of a session that has ended.
func left(session int) *presencev1.AttachRequest_Change {
	return &presencev1.AttachRequest_Change{
		UserId: userID(userOf(session)), Device: &presencev1.Device{GatewaySessionId: sessionID(session)}, Gone: true,
	}
}

// portion is the sessions of one gateway that are of one shard.
type portion struct {
	gateway  int
	shard    uint32
	sessions []int
}

func (p *portion) name() string { return fmt.Sprintf("bench-%d", p.gateway) }

// portions divides the crowd, gateway by gateway.
func portions() []*portion {
	all := make([]*portion, crowdGateways*presenceShards)
	for i := range all {
		all[i] = &portion{gateway: i / presenceShards, shard: uint32(i % presenceShards)}
	}
	for session := range crowdSessions {
		p := all[gatewayOf(session)*presenceShards+int(shardOf(userID(userOf(session))))]
		p.sessions = append(p.sessions, session)
	}
	return all
}
