// Package contract holds Go's part of the contract tests: it reads and writes the golden files that
// tests/contract/golden.py made.
package contract

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	_ "github.com/worldmesh/worldmesh/gen/go/worldmesh/common/v1"
	_ "github.com/worldmesh/worldmesh/gen/go/worldmesh/events/v1"
	_ "github.com/worldmesh/worldmesh/gen/go/worldmesh/gateway/v1"
	_ "github.com/worldmesh/worldmesh/gen/go/worldmesh/identity/v1"
	_ "github.com/worldmesh/worldmesh/gen/go/worldmesh/options/v1"
	_ "github.com/worldmesh/worldmesh/gen/go/worldmesh/presence/v1"
	_ "github.com/worldmesh/worldmesh/gen/go/worldmesh/room/v1"
	_ "github.com/worldmesh/worldmesh/gen/go/worldmesh/world/v1"
)

type sample struct {
	Hex  string          `json:"hex"`
	JSON json.RawMessage `json:"json"`
}

func (s sample) bytes(t *testing.T) []byte {
	t.Helper()
	data, err := hex.DecodeString(s.Hex)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// goldenMessages reads all golden files: samples by message and name.
func goldenMessages(t *testing.T) map[protoreflect.FullName]map[string]sample {
	t.Helper()
	paths, err := filepath.Glob("golden/worldmesh.*.json")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	all := map[protoreflect.FullName]map[string]sample{}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data, &all); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
	return all
}

// descriptorFiles is the descriptor set that services load, apart from the generated code.
func descriptorFiles(t *testing.T) *protoregistry.Files {
	t.Helper()
	data, err := os.ReadFile("../../gen/descriptors.binpb")
	if err != nil {
		t.Fatal(err)
	}
	var set descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(data, &set); err != nil {
		t.Fatal(err)
	}
	files, err := protodesc.NewFiles(&set)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestEveryMessageOfTheDescriptorSetHasGoldenBytesAndGeneratedCode(t *testing.T) {
	golden := goldenMessages(t)
	var walk func(messages protoreflect.MessageDescriptors)
	walk = func(messages protoreflect.MessageDescriptors) {
		for i := range messages.Len() {
			m := messages.Get(i)
			if m.IsMapEntry() {
				continue
			}
			if golden[m.FullName()] == nil {
				t.Errorf("%s has no golden bytes", m.FullName())
			}
			if _, err := protoregistry.GlobalTypes.FindMessageByName(m.FullName()); err != nil {
				t.Errorf("%s is not imported here: %v", m.FullName(), err)
			}
			walk(m.Messages())
		}
	}
	descriptorFiles(t).RangeFiles(func(file protoreflect.FileDescriptor) bool {
		if strings.HasPrefix(string(file.Package()), "worldmesh.") {
			walk(file.Messages())
		}
		return true
	})
}

// TestGoldenMessages reads and writes each sample by the generated type and by a dynamic one.
func TestGoldenMessages(t *testing.T) {
	files := descriptorFiles(t)
	golden := goldenMessages(t)
	for _, name := range slices.Sorted(maps.Keys(golden)) {
		t.Run(string(name), func(t *testing.T) {
			generated, err := protoregistry.GlobalTypes.FindMessageByName(name)
			if err != nil {
				t.Fatal(err)
			}
			described, err := files.FindDescriptorByName(name)
			if err != nil {
				t.Fatal(err)
			}
			dynamic := dynamicpb.NewMessageType(described.(protoreflect.MessageDescriptor))
			for sampleName, s := range golden[name] {
				checkSample(t, generated, sampleName+", generated", s)
				checkSample(t, dynamic, sampleName+", dynamic", s)
			}
		})
	}
}

// TestGoldenEnums compares the values of every enum with those of the generated code.
func TestGoldenEnums(t *testing.T) {
	data, err := os.ReadFile("golden/enums.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden map[protoreflect.FullName]map[protoreflect.Name]protoreflect.EnumNumber
	if err := json.Unmarshal(data, &golden); err != nil {
		t.Fatal(err)
	}
	for name, want := range golden {
		kind, err := protoregistry.GlobalTypes.FindEnumByName(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := map[protoreflect.Name]protoreflect.EnumNumber{}
		for i := range kind.Descriptor().Values().Len() {
			value := kind.Descriptor().Values().Get(i)
			got[value.Name()] = value.Number()
		}
		if !maps.Equal(got, want) {
			t.Errorf("%s:\n got %v\nwant %v", name, got, want)
		}
	}
}

func checkSample(t *testing.T, kind protoreflect.MessageType, name string, s sample) {
	t.Helper()
	data := s.bytes(t)
	message := kind.New().Interface()
	if err := proto.Unmarshal(data, message); err != nil {
		t.Fatalf("%s: read: %v", name, err)
	}
	again := kind.New().Interface()
	if err := protojson.Unmarshal(s.JSON, again); err != nil {
		t.Fatalf("%s: read ProtoJSON: %v", name, err)
	}
	if !proto.Equal(message, again) {
		t.Errorf("%s: bytes and ProtoJSON differ:\n%v\n%v", name, message, again)
	}
	written, err := proto.Marshal(message)
	if err != nil {
		t.Fatalf("%s: write: %v", name, err)
	}
	checkWritten(t, kind, name, message, written, len(data))
	checkJSON(t, name, message, s.JSON)
}

// checkWritten compares what Go writes. The order of fields is Go's own, which Protobuf leaves open: so the same
// length and the same message, not the same bytes.
func checkWritten(
	t *testing.T, kind protoreflect.MessageType, name string, message proto.Message, written []byte, want int,
) {
	t.Helper()
	if len(written) != want {
		t.Errorf("%s: writes %d bytes, want %d", name, len(written), want)
	}
	again := kind.New().Interface()
	if err := proto.Unmarshal(written, again); err != nil || !proto.Equal(message, again) {
		t.Errorf("%s: does not read what it writes: %v", name, err)
	}
}

func checkJSON(t *testing.T, name string, message proto.Message, want json.RawMessage) {
	t.Helper()
	got, err := protojson.Marshal(message)
	if err != nil {
		t.Fatalf("%s: write ProtoJSON: %v", name, err)
	}
	if g, w := decodeJSON(t, got), decodeJSON(t, want); !reflect.DeepEqual(g, w) {
		t.Errorf("%s: ProtoJSON\n got %s\nwant %s", name, got, want)
	}
}

func decodeJSON(t *testing.T, data []byte) any {
	t.Helper()
	var value any
	if err := json.NewDecoder(bytes.NewReader(data)).Decode(&value); err != nil {
		t.Fatal(err)
	}
	return value
}
