package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// clockTicks is USER_HZ, which is 100 on every Linux that we know of.
const clockTicks = 100

// cpu reads the CPU seconds of processes so far, user and system together.
func cpu(pids []int) ([]float64, error) {
	seconds := make([]float64, len(pids))
	for i, pid := range pids {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return nil, err
		}
		if seconds[i], err = parseCPU(string(raw)); err != nil {
			return nil, err
		}
	}
	return seconds, nil
}

// parseCPU reads utime and stime out of /proc/PID/stat; the name before them may hold anything, parentheses too.
func parseCPU(stat string) (float64, error) {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("stat: %q", stat)
	}
	user, err := strconv.ParseFloat(fields[11], 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseFloat(fields[12], 64)
	return (user + system) / clockTicks, err
}

// resident reads the resident memory of processes, in KB.
func resident(pids []int) ([]float64, error) {
	kb := make([]float64, len(pids))
	for i, pid := range pids {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(raw)) {
			if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
				if kb[i], err = strconv.ParseFloat(strings.Fields(rest)[0], 64); err != nil {
					return nil, err
				}
			}
		}
	}
	return kb, nil
}

// percentile is the nearest-rank percentile; 0 of nothing.
func percentile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	rank := int(q*float64(len(sorted)) + 0.9999999)
	return sorted[min(max(rank, 1), len(sorted))-1]
}
