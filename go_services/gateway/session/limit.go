package session

import (
	"time"

	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	gatewayv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/gateway/v1"
	"github.com/worldmesh/worldmesh/go_services/internal/frames"
	"google.golang.org/genproto/googleapis/rpc/code"
)

// bucket is a token bucket: it fills at a rate up to a burst.
type bucket struct {
	rate, burst, level float64
	filled             time.Time
}

func newBucket(rate, burst float64, now time.Time) bucket {
	return bucket{rate: rate, burst: burst, level: burst, filled: now}
}

// wait says how long it takes until n tokens are there; zero: they are.
func (b *bucket) wait(now time.Time, n float64) time.Duration {
	b.level = min(b.burst, b.level+now.Sub(b.filled).Seconds()*b.rate)
	b.filled = now
	if b.level >= n {
		return 0
	}
	return time.Duration((n - b.level) / b.rate * float64(time.Second))
}

// limit refuses a frame of a client that sends too many or too large ones, and ends the session of one that does not
// stop: each refused frame costs patience, each that is taken gives some back.
func (s *Session) limit(now time.Time, rid uint32, size int) []Action {
	wait := max(s.frames.wait(now, 1), s.bytes.wait(now, float64(size)))
	if wait == 0 {
		s.frames.level--
		s.bytes.level -= float64(size)
		s.refused = max(0, s.refused-1)
		return nil
	}
	s.refused++
	if s.refused > s.limits.Patience {
		return s.fatal(gatewayv1.CloseCode_CLOSE_CODE_RATE_LIMITED, commonv1.ErrorReason_ERROR_REASON_RATE_LIMITED,
			"the client sends more than it may")
	}
	return []Action{Reply{RID: rid, Error: frames.Error{
		Reason: reasonName(commonv1.ErrorReason_ERROR_REASON_RATE_LIMITED), Message: "too many frames, or too large ones",
		Code: int32(code.Code_RESOURCE_EXHAUSTED), RetryAfterMS: uint32(wait.Milliseconds()) + 1,
	}}}
}
