package gateway

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/worldmesh/worldmesh/go_services/gateway/socket"
)

// The page has them as JSON has them; TestThePageNamesAllFrames sees to it.
func TestKindsOfFramesAreCountedUnderTheirNamesOnThePage(t *testing.T) {
	registry := prometheus.NewRegistry()
	newMetrics(registry, socket.NewTurns(1))
	counted := labelsOf(t, registry, "worldmesh_gateway_frames_total", "kind")
	toClients, _, _ := strings.Cut(section(t, "Frames of the server"), "Events of the ordered channel")
	for _, table := range []string{section(t, "Frames of clients"), toClients} {
		for _, row := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| `\\w+` \\|").FindAllStringSubmatch(table, -1) {
			if !slices.Contains(counted, row[1]) {
				t.Errorf("%s is not among what is counted: %q", row[1], counted)
			}
		}
	}
}

func TestWhatIsToAlertOnIsCountedFromTheBeginning(t *testing.T) {
	registry := prometheus.NewRegistry()
	newMetrics(registry, socket.NewTurns(1))
	for metric, c := range map[string]struct {
		label string
		among []string
	}{
		"worldmesh_gateway_closes_total":        {"code", []string{"1006", "1011", "4001", "4002", "4100", "4302"}},
		"worldmesh_gateway_queue_drops_total":   {"channel", []string{"state", "ordered", "broken"}},
		"worldmesh_gateway_reattachments_total": {"why", []string{"lost", "moved"}},
		"worldmesh_gateway_panics_total":        {"at", []string{"socket", "room"}},
	} {
		counted := labelsOf(t, registry, metric, c.label)
		for _, value := range c.among {
			if !slices.Contains(counted, value) {
				t.Errorf("%s has %q, not %s", metric, counted, value)
			}
		}
	}
}

// labelsOf is what a label of a metric has been.
func labelsOf(t *testing.T, registry *prometheus.Registry, metric, label string) (values []string) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != metric {
			continue
		}
		for _, m := range family.GetMetric() {
			for _, pair := range m.GetLabel() {
				if pair.GetName() == label {
					values = append(values, pair.GetValue())
				}
			}
		}
	}
	return values
}
