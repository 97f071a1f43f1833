package relay

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestWhatIsToAlertOnIsCountedFromTheBeginning(t *testing.T) {
	registry := prometheus.NewRegistry()
	newMetrics(registry)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counted := map[string]int{}
	for _, family := range families {
		counted[family.GetName()] = len(family.GetMetric())
	}
	if n := counted["worldmesh_relay_claims_total"]; n != 5 {
		t.Errorf("%d outcomes of claims are counted", n)
	}
	if n := counted["worldmesh_relay_room_ends_total"]; n != 7 {
		t.Errorf("%d reasons are counted why rooms end", n)
	}
}
