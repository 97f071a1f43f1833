package shard

// sweep removes sessions of a gateway: all, or those that its snapshot did not name.
type sweep struct {
	gateway uint16
	dead    bool
	round   uint16 // of the snapshot
	at      uint32 // the record to look at next
}

// Sweep looks at up to so many sessions for those that are to be removed, and says whether there is more to do. The
// caller lets others in between: so the end of a gateway with many sessions holds nobody up.
func (s *Shard) Sweep(most int) (more bool) {
	for ; most > 0 && len(s.sweeps) > 0; most-- {
		w := &s.sweeps[0]
		if s.swept(w) || w.at == s.records.end {
			s.endSweep(w)
			continue
		}
		if r := s.records.at(w.at); r.gateway == w.gateway && (w.dead || r.round != w.round) {
			s.remove(w.at)
		}
		w.at++
	}
	return len(s.sweeps) > 0
}

// swept says whether there is nothing left of what a sweep looks for. A snapshot that came later has its own.
func (s *Shard) swept(w *sweep) bool {
	g := &s.gateways[w.gateway]
	if w.dead {
		return g.sessions == 0
	}
	return g.round != w.round || g.sessions == g.named
}

func (s *Shard) endSweep(w *sweep) {
	if w.dead {
		s.gateways[w.gateway] = gateway{}
		s.freeGateways = append(s.freeGateways, w.gateway)
	}
	s.sweeps = s.sweeps[1:]
}
