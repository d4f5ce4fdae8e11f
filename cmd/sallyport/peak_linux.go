package main

import (
	"fmt"
	"syscall"
)

// peakMemory is the most memory that this process has had.
func peakMemory() string {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return "unknown"
	}
	return fmt.Sprintf("%d MiB", u.Maxrss>>10)
}
