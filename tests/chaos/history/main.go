// History says whether what the relays of a world were told by their store can have happened one after another: the
// relays had WORLDMESH_RELAY_HISTORY_DIR set to the folder that is its first argument. The second is since when rooms count,
// in nanoseconds of the monotonic clock. It prints a JSON object, and fails if it can't have.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/worldmesh/worldmesh/go_services/relay/history"
)

const (
	// checkTime bounds how long the check takes.
	checkTime = time.Minute
	// settle is how long relays may take to write what they have put a time on: they go on while they are read.
	settle = 500 * time.Millisecond
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: history FOLDER SINCE")
		os.Exit(2)
	}
	since, err := strconv.ParseInt(os.Args[2], 10, 64)
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(2)
	}
	until := history.Now()
	time.Sleep(settle)
	report, err := history.CheckFolder(os.Args[1], since, until, checkTime)
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(2)
	}
	if err := json.NewEncoder(os.Stdout).Encode(report); err != nil || !report.Linearizable {
		os.Exit(1)
	}
}
