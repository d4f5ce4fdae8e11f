package main

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// protectMemory keeps passwords and keys that are in memory off the disk and away
// from other processes of the same user (threats L09): no core file, no dump by a
// handler that ignores the limit (as core_pattern's pipes do), no ptrace, no
// /proc/PID/mem or environ.
func protectMemory() error {
	var errs []error
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &limit); err != nil || limit != (unix.Rlimit{}) {
		// Under the shipped unit the limit is 0 already, and setting it is forbidden.
		if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
			errs = append(errs, fmt.Errorf("limit of core files: %w", err))
		}
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		errs = append(errs, fmt.Errorf("dumps of memory: %w", err))
	}
	return errors.Join(errs...)
}
