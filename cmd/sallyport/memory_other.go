//go:build !linux

package main

// protectMemory does nothing where the service is only developed.
func protectMemory() error { return nil }
