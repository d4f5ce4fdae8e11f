package main

import (
	"fmt"
	"os"
	"strings"
)

// peakMemory is the most memory that this program has had. Of the two that the kernel
// counts it is the one that does not contain the process which started it, as
// getrusage's does.
func peakMemory() string {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return "unknown"
	}
	var kib int
	for line := range strings.Lines(string(status)) {
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kib); n == 1 {
			return fmt.Sprintf("%d MiB", kib>>10)
		}
	}
	return "unknown"
}
