package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// mallocs is the metric of Go processes that counts allocated objects.
const mallocs = "go_memstats_mallocs_total"

// spent is what a server has used since it began.
type spent struct {
	cpu     float64 // seconds
	mallocs float64
}

// readServers reads what each server has used so far.
func readServers(p Plan) ([]spent, error) {
	seconds, err := cpu(p.PIDs)
	if err != nil {
		return nil, err
	}
	out := make([]spent, len(seconds))
	for i := range out {
		out[i].cpu = seconds[i]
		if i < len(p.Metrics) && p.Metrics[i] != "" {
			if out[i].mallocs, err = readMetric(p.Metrics[i], mallocs); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// get opens a page of a server.
func get(url string, within time.Duration) (io.ReadCloser, error) {
	response, err := (&http.Client{Timeout: within}).Get(url)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("%s: %s", url, response.Status), response.Body.Close())
	}
	return response.Body, nil
}

func readMetric(url, name string) (float64, error) {
	body, err := get(url, 5*time.Second)
	if err != nil {
		return 0, err
	}
	defer func() { _ = body.Close() }()
	lines := bufio.NewScanner(body)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, errors.Join(lines.Err(), fmt.Errorf("%s has no %s", url, name))
}

// profile begins to take the profiles of a plan, for as long as its window is open, and returns what waits for them.
func profile(p Plan) (wait func() error) {
	var group errgroup.Group
	for file, url := range p.Profiles {
		group.Go(func() error {
			within := time.Duration(p.Seconds * float64(time.Second))
			body, err := get(fmt.Sprintf("%s?seconds=%.0f", url, p.Seconds), within+10*time.Second)
			if err != nil {
				return err
			}
			defer func() { _ = body.Close() }()
			out, err := os.Create(file)
			if err != nil {
				return err
			}
			_, err = io.Copy(out, body)
			return errors.Join(err, out.Close())
		})
	}
	return group.Wait
}
