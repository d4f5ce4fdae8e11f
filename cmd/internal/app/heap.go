package app

import (
	"os"
	"runtime/debug"
)

// heapGrowth is how much the heap may grow between two collections, in percent of
// what lives.
const heapGrowth = 400

// UseMemory lets the garbage collector run a quarter as often as it would by
// itself. What lives is a few megabytes, so that at Go's default the heap would be
// collected every hundred sign-ins, which costs a tenth of everything besides the
// signatures. GOGC and GOMEMLIMIT in the environment are the operator's word and
// stay. It concerns the whole process: the programs call it, not [New].
func UseMemory() {
	if os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetGCPercent(heapGrowth)
	}
}
