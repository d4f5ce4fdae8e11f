//go:build !linux

package main

// peakMemory is the most memory that this process has had.
func peakMemory() string { return "unknown on this system" }
