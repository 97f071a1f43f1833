package gateway

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	clientv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/client/v1"
	commonv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	gatewayv1 "github.com/worldmesh/worldmesh/gen/go/worldmesh/gateway/v1"
	"github.com/worldmesh/worldmesh/go_services/gateway/dialect"
	"github.com/worldmesh/worldmesh/go_services/gateway/session"
	"github.com/worldmesh/worldmesh/go_services/gateway/socket"
)

// section is the part of docs/wire.md under a heading.
func section(t *testing.T, heading string) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/wire.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(page), "\n## "+heading+"\n")
	if !found {
		t.Fatalf("docs/wire.md has no %q", heading)
	}
	text, _, _ := strings.Cut(after, "\n## ")
	return text
}

func TestThePageNamesAllCloseCodes(t *testing.T) {
	want := map[string]string{}
	for number, name := range gatewayv1.CloseCode_name {
		if number != 0 {
			want[strconv.Itoa(int(number))] = strings.TrimPrefix(name, "CLOSE_CODE_")
		}
	}
	got := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| (\\d+) \\| `(\\w+)`").FindAllStringSubmatch(section(t, "Close codes"), -1) {
		got[row[1]] = row[2]
	}
	if !maps.Equal(got, want) {
		t.Errorf("the page has %v, the contract %v", got, want)
	}
}

func TestThePageNamesAllFrames(t *testing.T) {
	rows := regexp.MustCompile("(?m)^\\| `(\\w+)` \\| `(\\w+)` \\|")
	for heading, bodies := range map[string][]string{
		"Frames of clients": names(clientv1.EnumNamesClientBody),
		"Frames of the server": append(names(clientv1.EnumNamesServerBody),
			names(clientv1.EnumNamesEventBody)...),
	} {
		var got []string
		for _, row := range rows.FindAllStringSubmatch(section(t, heading), -1) {
			got = append(got, row[2])
			if snake := snakeCase(row[2]); row[1] != snake {
				t.Errorf("%s is %s in JSON, not %s", row[2], snake, row[1])
			}
		}
		slices.Sort(got)
		slices.Sort(bodies)
		if !slices.Equal(got, bodies) {
			t.Errorf("%s: the page has %v, the schema %v", heading, got, bodies)
		}
	}
}

func names[K comparable](enum map[K]string) []string {
	return slices.DeleteFunc(slices.Collect(maps.Values(enum)), func(name string) bool { return name == "NONE" })
}

func snakeCase(name string) string {
	return strings.ToLower(regexp.MustCompile("([a-z])([A-Z])").ReplaceAllString(name, "${1}_$2"))
}

func TestThePagesReasonsExist(t *testing.T) {
	table, _, _ := strings.Cut(section(t, "Errors"), "\nWorld and relay")
	for _, row := range regexp.MustCompile("(?m)^\\| (`[A-Z_`, ]+`) \\|").FindAllStringSubmatch(table, -1) {
		for name := range strings.SplitSeq(row[1], ", ") {
			if _, ok := commonv1.ErrorReason_value["ERROR_REASON_"+strings.Trim(name, "`")]; !ok {
				t.Errorf("there is no reason %s", name)
			}
		}
	}
}

func TestThePagesLimitsAreTheLimits(t *testing.T) {
	limits, text := session.DefaultLimits(), section(t, "Limits")
	for _, want := range []string{
		fmt.Sprintf("good `hello` | %.0f s |", limits.Hello.Seconds()),
		fmt.Sprintf("before `welcome` | %d bytes |", session.MaxControl),
		fmt.Sprintf("a `call` | %d bytes |", socket.MaxMessage),
		fmt.Sprintf("frames | %.0f a second, %.0f at once |", limits.FramesPerSecond, limits.FrameBurst),
		fmt.Sprintf("bytes of frames | %.0f a second, %.0f at once |", limits.BytesPerSecond, limits.ByteBurst),
		fmt.Sprintf("(ping, pong) | %d in %.0f s |", socket.MaxControls, socket.ControlWindow.Seconds()),
		fmt.Sprintf("calls under way | %d |", limits.Calls),
		fmt.Sprintf("answer to `join` | %.0f s |", limits.Join.Seconds()),
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say: %s", want)
		}
	}
	if socket.MaxControl != session.MaxControl {
		t.Error("socket and session differ in what a frame may hold")
	}
}

// The frames of the example are frames.
func TestThePagesExample(t *testing.T) {
	for line := range strings.Lines(section(t, "A session, in JSON")) {
		direction, frame, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch direction {
		case ">":
			if _, err := dialect.JSON.Decode([]byte(frame)); err != nil && !strings.Contains(frame, "dance") {
				t.Errorf("%s: %v", frame, err)
			}
		case "<":
			if !json.Valid([]byte(frame)) {
				t.Errorf("no JSON: %s", frame)
			}
		}
	}
}
