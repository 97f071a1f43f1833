package roomsim

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// mutant is a bug in the cores themselves: a piece of their source, and what stands in its place.
type mutant struct {
	name, file, is, becomes string
}

// mutants are bugs that somebody might make, or has made.
var mutants = []mutant{
	{
		"trust a position of another history", "relay/room/log.go",
		"return r.tail[i+1:], e.Epoch == p.Epoch", "return r.tail[i+1:], true",
	},
	{
		"tell somebody who was out meanwhile of no gap", "relay/room/membership.go",
		"s.Gap = join.Resume != nil", "s.Gap = false",
	},
	{
		"tell nobody that the log does not reach back so far", "relay/room/membership.go",
		"s.Resumed, s.Gap = true, !reaches", "s.Resumed, s.Gap = true, false",
	},
	{
		"know nothing of what was said before a takeover", "relay/room/room.go",
		"m.seen.add(e.Key)", "_ = e.Key",
	},
	{
		"send a whisper to the members of a gateway one after another", "relay/room/log.go",
		"if link.Stream == stream {", "if link == to[0] && stream != 0 {",
	},
	{
		"hear whispers by who is in, not by what is logged", "relay/room/log.go",
		"m != nil && m.shown {\n\t\treturn m.link", "m != nil {\n\t\treturn m.speaks",
	},
	{
		"answer a join that was replaced as if nothing had happened", "relay/room/membership.go",
		"if m.left {", "if m.left || m.speaks == (Link{}) {",
	},
	{
		"let members go before their hold is over", "relay/room/membership.go",
		"!m.lost.Add(r.cfg.Hold).After(now)", "m.lost.Add(r.cfg.Hold).After(now)",
	},
	{
		"answer a leave that is repeated with an error", "relay/room/membership.go",
		"r.emit(output{removedOut, link, in}, func() {\n\t\t\tr.sink.Removed(link, in, commonv1.ErrorReason_ERROR_REASON_UNSPECIFIED)\n\t\t})\n\t\treturn",
		"return",
	},
	{
		"resume as if nobody had missed anything", "relay/room/membership.go",
		"if reaches && resume == nil {", "if reaches {",
	},
	{
		"log again what is in the log", "relay/store/memory.go",
		"entries = entries[countOld(entries, r.last):]\n\tif len(entries) > 0 && !follows(entries[0], r.last) {\n\t\treturn ErrForgotten\n\t}",
		"_, _ = countOld, follows",
	},
	{
		"do not notice that a whisper is missing", "relay/store/memory.go",
		" && e.After == last.Sub", "",
	},
	{
		"give the same epoch away twice", "relay/store/memory.go",
		"q.Era, m.now())", "q.Era, m.now()) - 1",
	},
	{
		"count epochs in the era of who asks", "relay/store/store.go",
		"max(era, after/EpochsPerEra) * EpochsPerEra", "era * EpochsPerEra",
	},
	{
		"undo by a claim again that comes late what others have written", "relay/store/memory.go",
		"same && (q.Held == r.owner.Epoch || !wrote)", "same && (q.Held == r.owner.Epoch || !wrote) || r.owner.Relay == \"\"",
	},
	{
		"let any start of a relay write", "relay/store/memory.go",
		"case r.owner.Epoch > owner.Epoch || r.owner.Relay == \"\":", "case r.owner.Relay == \"\":",
	},
	{
		"forget what was sent and not answered", "gateway/roomlink/roomlink.go",
		"again := q.unanswered\n", "again := q.unanswered[:0]\n",
	},
	{
		"forget who is behind when a whisper comes", "gateway/roomlink/roomlink.go",
		"if p := m.behind; p != nil && p.Compare(*s.seen) < 0 {", "if p := m.behind; false {",
	},
	{
		"forget the newest steps when the stream is lost", "gateway/roomlink/roomlink.go",
		"\tfor _, step := range steps {\n\t\tq.putStep(step)\n\t}\n", "",
	},
	{
		"repeat a step that is to be answered as it was", "gateway/roomlink/roomlink.go",
		"in = StepInput(step, in.GetRid(), in.GetNumber())", "_ = step",
	},
	{
		"repeat a step so that its answer is none", "gateway/roomlink/roomlink.go",
		"in = StepInput(step, in.GetRid(), in.GetNumber())", "in = StepInput(step, 0, in.GetNumber())",
	},
	{
		"forget steps that are to be answered and were not sent", "gateway/roomlink/roomlink.go",
		"\tfor _, w := range q.waiting {\n\t\tif w.input.GetNumber() != 0 {",
		"\tfor _, w := range q.waiting {\n\t\tif w.input.GetNumber() != 0 && w.input.GetState() == nil {",
	},
	{
		"send inputs before the steps that came before them", "gateway/roomlink/roomlink.go",
		"into.StepsBefore = append(into.StepsBefore, uint32(len(steps.GetLinks())))", "into.StepsBefore = append(into.StepsBefore, 0)",
	},
	{
		"play inputs before the steps that came before them", "relay/play.go",
		"stepsTo(int(before[i]))", "_ = before",
	},
	{
		"open a stream without where members were", "gateway/roomlink/roomlink.go",
		"State: state(m.Entity),", "",
	},
	{
		"do not keep where a snapshot says that its member is", "gateway/roomlink/own.go",
		"own.told, own.state = true, frames.StateOf(&s)", "own.told = own.told || s.Entity() == 0",
	},
	{
		"do not keep where a member was put back to", "gateway/roomlink/own.go",
		"own.told, own.state = true, state", "own.told = own.told || state.Entity == 0",
	},
	{
		"keep what a member made first, not last", "gateway/roomlink/roomlink.go",
		"m.step, m.stepped = step, true", "if !m.stepped {\n\t\tm.step, m.stepped = step, true\n\t}",
	},
	{
		"do not believe a gateway where its members were", "relay/room/membership.go",
		"if s := rejoin.State; s != nil && r.contains(s.Position) {", "if s := rejoin.State; s != nil && s.Entity != 0 {",
	},
	{
		"do not tell a gateway that is back of those who stand still now", "relay/room/membership.go",
		"if len(back) > 0 {", "if len(back) < 0 {",
	},
	{
		"put members back without a word", "relay/room/movement.go",
		"r.sink.Corrected(link, m.state)", "_ = link",
	},
	{
		"let members go wherever they want", "relay/room/movement.go",
		"if allowed {", "if allowed || !allowed {",
	},
	{
		"answer only the steps that are let through", "relay/room/movement.go",
		"if in.RID != 0 {", "if in.RID != 0 && allowed {",
	},
}

// TestMutantsAreFound builds the simulation with each bug in the cores, and looks whether the random schedules notice, that
// find nothing without it (TestRandomSchedules, with the same seeds: WORLDMESH_SIM_SEEDS of each kind, or as many as the one
// needs that is found last). It needs some seconds for each: only if WORLDMESH_SIM_MUTANTS is set.
func TestMutantsAreFound(t *testing.T) {
	if os.Getenv("WORLDMESH_SIM_MUTANTS") == "" {
		t.Skip("WORLDMESH_SIM_MUTANTS is not set")
	}
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			output, err := m.test(t)
			found := regexp.MustCompile(`seed \d+: .*`).FindString(output)
			switch {
			case err == nil:
				t.Error("nobody notices")
			case found == "":
				t.Errorf("it does not run: %s", output)
			default:
				t.Logf("found by %s", strings.TrimSuffix(found, " after"))
			}
		})
	}
}

// A mutant of what is not there any more would be missed where mutants are not looked for.
func TestMutantsAreOfTheSourceAsItIs(t *testing.T) {
	for _, m := range mutants {
		m.source(t)
	}
}

// source is the file with the bug in it, and where it is.
func (m mutant) source(t *testing.T) (path, mutated string) {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("../..", m.file))
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(source), m.is); n != 1 {
		t.Fatalf("%s: %q is in %s %d times: has it changed?", m.name, m.is, m.file, n)
	}
	return path, strings.Replace(string(source), m.is, m.becomes, 1)
}

// test runs the schedules on the cores with the bug in them.
func (m mutant) test(t *testing.T) (output string, err error) {
	t.Helper()
	path, source := m.source(t)
	mutated, overlay := filepath.Join(t.TempDir(), "mutated.go"), filepath.Join(t.TempDir(), "overlay.json")
	writeFile(t, mutated, []byte(source))
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {path: mutated}})
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, overlay, replace)
	test := exec.CommandContext(t.Context(), "go", "test", "-failfast", "-overlay", overlay, "-run", "^TestRandomSchedules$", ".")
	if os.Getenv("WORLDMESH_SIM_SEEDS") == "" {
		test.Env = append(os.Environ(), "WORLDMESH_SIM_SEEDS=4000")
	}
	raw, err := test.CombinedOutput()
	return string(raw), err
}

func writeFile(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}
