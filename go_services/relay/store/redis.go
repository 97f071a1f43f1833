package store

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
	"github.com/worldmesh/worldmesh/go_services/relay/room"
)

// One script each, so that a claim and an append of one room never overlap in effect.
var (
	//go:embed claim.lua
	claimSource string
	claimScript = redis.NewScript(claimSource)
	//go:embed append.lua
	appendSource string
	appendScript = redis.NewScript(appendSource)
	//go:embed release.lua
	releaseSource string
	releaseScript = redis.NewScript(releaseSource)
	//go:embed renew.lua
	renewSource string
	renewScript = redis.NewScript(renewSource)
	//go:embed leave.lua
	leaveSource string
	leaveScript = redis.NewScript(leaveSource)
	//go:embed set_era.lua
	setEraSource string
	setEraScript = redis.NewScript(setEraSource)
)

var errAnswer = errors.New("the store's answer does not make sense")

// Redis is a Store in Redis 7 or what speaks its protocol: one server, Sentinel or Cluster. All keys of a room have the
// room's id as hash tag.
type Redis struct {
	client redis.UniversalClient
	leases redis.UniversalClient
}

var _ Store = (*Redis)(nil)

// NewRedis makes a store whose leases go by connections that no room uses.
func NewRedis(rooms, leases redis.UniversalClient) *Redis { return &Redis{rooms, leases} }

const (
	leasesKey = "worldmesh:{relays}:leases"
	eraKey    = "worldmesh:{relays}:era"
)

// keys are a room's record (a hash), its log (a stream whose ids are seq-sub) and its members (a hash by entity).
func keys(id string) []string {
	tag := "worldmesh:room:{" + id + "}"
	return []string{tag, tag + ":log", tag + ":members"}
}

// Claim is Rooms.Claim.
func (s *Redis) Claim(ctx context.Context, q ClaimRequest) (Claim, error) {
	args := []any{
		q.Owner.Relay, q.Owner.Incarnation, q.Owner.Address, q.Held, q.Era, q.StealAfter,
		KeepRoom.Milliseconds(), keepLog.Milliseconds(), uint64(EpochsPerEra), epochsBegan.UnixMilli(), epochLength.Milliseconds(),
		uint64(MaxEpoch),
	}
	if q.Held != 0 {
		args = append(args, pastArguments(q.Past)...)
	}
	answer, err := claimScript.Run(ctx, s.client, keys(q.Room), args...).Slice()
	if err != nil {
		return Claim{}, fmt.Errorf("claim room: %w", err)
	}
	claim, err := readClaim(answer)
	if err != nil {
		return Claim{}, fmt.Errorf("claim room: %w", err)
	}
	return claim, nil
}

func pastArguments(past room.Past) []any {
	last := past.Last
	args := []any{past.LastEntity, last.Epoch, last.Seq, last.Sub, boolean(past.Complete), len(past.Members)}
	for _, member := range past.Members {
		args = append(args, member.Entity, encodeMember(member))
	}
	for i := range past.Tail {
		e := &past.Tail[i]
		args = append(args, e.Seq, e.Sub, e.TimeMS, encodeEntry(e))
	}
	return args
}

// boolean is one as scripts take it.
func boolean(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// What claim.lua answers first.
const (
	granted  = 1
	noEpochs = 2
)

func readClaim(answer []any) (Claim, error) {
	r := reader{answer: answer}
	outcome := r.integer()
	if outcome == noEpochs {
		return Claim{}, ErrNoEpochs
	}
	c := Claim{Granted: outcome == granted}
	c.Owner = Owner{Epoch: r.number(), Relay: r.text(), Incarnation: r.text(), Address: r.text()}
	if !c.Granted {
		return c, r.err
	}
	c.Last = frames.LogPosition{Epoch: r.number(), Seq: r.number(), Sub: uint32(r.number())}
	c.LastEntity = uint32(r.number())
	c.Complete = r.number() == 1
	for _, raw := range r.list() {
		member, err := decodeMember(textOf(raw))
		if err != nil {
			return c, err
		}
		c.Members = append(c.Members, member)
	}
	lost := r.list()
	c.Lost = make(map[uint32]time.Duration, len(lost)/2)
	for i := 0; i+1 < len(lost); i += 2 {
		c.Lost[uint32(numberOf(lost[i]))] = time.Duration(numberOf(lost[i+1])) * time.Millisecond
	}
	slices.SortFunc(c.Members, func(a, b room.Record) int { return int(a.Entity) - int(b.Entity) })
	for _, raw := range r.list() {
		e, err := readEntry(raw)
		if err != nil {
			return c, err
		}
		c.Tail = append(c.Tail, e)
	}
	return c, r.err
}

// readEntry reads an entry of a stream: its id, and its fields and their values in turns.
func readEntry(raw any) (room.Entry, error) {
	pair, _ := raw.([]any)
	if len(pair) != 2 {
		return room.Entry{}, errAnswer
	}
	fields, _ := pair[1].([]any)
	for i := 0; i+1 < len(fields); i += 2 {
		if textOf(fields[i]) == "e" {
			return decodeEntry(textOf(fields[i+1]))
		}
	}
	return room.Entry{}, errAnswer
}

// Append is Rooms.Append.
func (s *Redis) Append(ctx context.Context, id string, owner Owner, entries []*room.Entry, lost []Lost) error {
	args := []any{
		owner.Epoch, owner.Relay, owner.Incarnation, KeepRoom.Milliseconds(), keepLog.Milliseconds(), room.MaxEntries,
		room.FewEntries, room.YoungMS, room.MaxAgeMS, len(lost),
	}
	for _, l := range lost {
		ms := max(0, l.For.Milliseconds())
		if l.Back {
			ms = -1
		}
		args = append(args, l.Entity, ms)
	}
	for _, e := range entries {
		entity, member := uint32(0), ""
		if e.Joined != nil {
			entity, member = e.Joined.Entity, encodeMember(*e.Joined)
		}
		args = append(args, e.Epoch, e.Seq, e.Sub, e.After, e.TimeMS, encodeEntry(e), entity, member, e.Left)
	}
	answer, err := appendScript.Run(ctx, s.client, keys(id), args...).Text()
	if err != nil {
		return fmt.Errorf("append to the log: %w", err)
	}
	return refusal(answer)
}

// Release is Rooms.Release.
func (s *Redis) Release(ctx context.Context, id string, owner Owner, last frames.LogPosition) error {
	answer, err := releaseScript.Run(ctx, s.client, keys(id)[:1],
		owner.Epoch, owner.Relay, owner.Incarnation, last.Seq, last.Sub).Text()
	if err != nil {
		return fmt.Errorf("release room: %w", err)
	}
	return refusal(answer)
}

// refusal is the error that a script's answer means.
func refusal(answer string) error {
	switch answer {
	case "fenced":
		return ErrFenced
	case "forgotten":
		return ErrForgotten
	}
	return nil
}

// Owners is Rooms.Owners.
func (s *Redis) Owners(ctx context.Context, rooms []string) (map[string]Ownership, error) {
	read := make([]*redis.SliceCmd, len(rooms))
	pipe := s.client.Pipeline()
	for i, id := range rooms {
		read[i] = pipe.HMGet(ctx, keys(id)[0], "epoch", "relay", "incarnation", "address", "last_epoch", "seq", "sub")
	}
	_, err := pipe.Exec(ctx)
	owners := make(map[string]Ownership, len(rooms))
	for i, cmd := range read {
		if cmd.Err() != nil { // of a cluster, other parts may have answered
			continue
		}
		v := cmd.Val()
		owners[rooms[i]] = Ownership{
			Owner: Owner{Epoch: numberOf(v[0]), Relay: textOf(v[1]), Incarnation: textOf(v[2]), Address: textOf(v[3])},
			Last:  frames.LogPosition{Epoch: numberOf(v[4]), Seq: numberOf(v[5]), Sub: uint32(numberOf(v[6]))},
		}
	}
	if err != nil {
		return owners, fmt.Errorf("ask for owners: %w", err)
	}
	return owners, nil
}

// Keep is Rooms.Keep.
func (s *Redis) Keep(ctx context.Context, rooms []string) error {
	pipe := s.client.Pipeline()
	for _, id := range rooms {
		all := keys(id)
		pipe.PExpire(ctx, all[0], KeepRoom)
		pipe.PExpire(ctx, all[2], KeepRoom)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("keep rooms: %w", err)
	}
	return nil
}

// numberOf is a field of a record; 0 if it is not there.
func numberOf(field any) uint64 {
	n, _ := strconv.ParseUint(textOf(field), 10, 64)
	return n
}

// Renew is Leases.Renew.
func (s *Redis) Renew(ctx context.Context, relay Relay, length time.Duration) (Renewal, error) {
	what, err := json.Marshal(relay)
	if err != nil {
		return Renewal{}, err
	}
	answer, err := renewScript.Run(ctx, s.leases, []string{leasesKey, eraKey}, relay.ID, length.Milliseconds(), what).Slice()
	if err != nil {
		return Renewal{}, fmt.Errorf("renew lease: %w", err)
	}
	r := reader{answer: answer}
	renewal := Renewal{Era: r.number(), EraReplicationID: r.text()}
	renewal.EraAge = time.Duration(r.number()) * time.Millisecond
	renewal.ReplicationID = replicationID(r.text())
	renewal.Silent = map[string]time.Duration{}
	for raw := range slices.Chunk(r.list(), 2) {
		var peer Relay
		if err := json.Unmarshal([]byte(textOf(raw[0])), &peer); err != nil {
			return renewal, fmt.Errorf("renew lease: %w", err)
		}
		renewal.Peers = append(renewal.Peers, peer)
		renewal.Silent[peer.ID] = time.Duration(numberOf(raw[1])) * time.Millisecond
	}
	slices.SortFunc(renewal.Peers, func(a, b Relay) int { return strings.Compare(a.ID, b.ID) })
	return renewal, r.err
}

// replicationID is what tells the history of a server from that of a replica that took over.
func replicationID(info string) string {
	for line := range strings.Lines(info) {
		if id, ok := strings.CutPrefix(line, "master_replid:"); ok {
			return strings.TrimSpace(id)
		}
	}
	return ""
}

// Leave is Leases.Leave.
func (s *Redis) Leave(ctx context.Context, relay Relay) error {
	if err := leaveScript.Run(ctx, s.leases, []string{leasesKey}, relay.ID, relay.Incarnation).Err(); err != nil {
		return fmt.Errorf("give up lease: %w", err)
	}
	return nil
}

// SetEra is Leases.SetEra.
func (s *Redis) SetEra(ctx context.Context, era uint64, replicationID string, isNew bool) error {
	if err := setEraScript.Run(ctx, s.leases, []string{eraKey}, era, replicationID, boolean(isNew)).Err(); err != nil {
		return fmt.Errorf("set era: %w", err)
	}
	return nil
}

// reader reads the answer of a script, part by part.
type reader struct {
	answer []any
	err    error
}

func (r *reader) next() any {
	if len(r.answer) == 0 {
		r.err = errAnswer
		return nil
	}
	first := r.answer[0]
	r.answer = r.answer[1:]
	return first
}

func (r *reader) integer() int64 {
	n, _ := r.next().(int64)
	return n
}

func (r *reader) text() string { return textOf(r.next()) }

func (r *reader) number() uint64 {
	n, err := strconv.ParseUint(r.text(), 10, 64)
	if err != nil {
		r.err = errAnswer
	}
	return n
}

func (r *reader) list() []any {
	list, _ := r.next().([]any)
	return list
}

func textOf(v any) string {
	s, _ := v.(string)
	return s
}
