package main

import (
	"os"
	"testing"
)

func TestPercentileIsTheNearestRank(t *testing.T) {
	values := []float64{5, 1, 4, 2, 3}
	for q, want := range map[float64]float64{0: 1, 0.2: 1, 0.21: 2, 0.5: 3, 0.99: 5, 1: 5} {
		if got := percentile(values, q); got != want {
			t.Errorf("percentile(%v) = %v, want %v", q, got, want)
		}
	}
	if got := percentile(nil, 0.5); got != 0 {
		t.Errorf("percentile of nothing = %v", got)
	}
}

func TestCPUIsReadBehindANameWithParentheses(t *testing.T) {
	got, err := parseCPU("7 (a) b (c) S 1 1 1 0 -1 4 1 1 1 1 150 50 0 0 20 0 1 0 1")
	if err != nil || got != 2 {
		t.Fatalf("%v, %v", got, err)
	}
	if _, err := parseCPU("7 (a) S 1"); err == nil {
		t.Fatal("a short line was taken")
	}
}

func TestOwnProcessHasMemoryAndTime(t *testing.T) {
	kb, err := resident([]int{os.Getpid()})
	if err != nil || kb[0] < 1000 {
		t.Fatalf("%v, %v", kb, err)
	}
	if _, err := cpu([]int{os.Getpid()}); err != nil {
		t.Fatal(err)
	}
	if _, err := cpu([]int{-1}); err == nil {
		t.Fatal("a process that is not there was read")
	}
}
