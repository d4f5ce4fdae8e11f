package main

import (
	"fmt"
	"math"

	"sallyport/cmd/internal/auditlog"
	"sallyport/cmd/internal/config"
)

func auditCommand() command {
	c := command{name: "audit", synopsis: "audit verify FILE... [--key-file F]", help: "check the hash chain of audit files"}
	c.run = func(e env, args []string) int {
		f := flags(e, c, `Checks that no record of the audit files was changed, moved or taken out. Name the
files of one trail, oldest first; the one that is written now comes last. Compare
the head with the log's latest "audit chain" line to see that the end is there.`)
		keyFile := f.String("key-file", "", "the `file` of audit.chain_key_file")
		rest, status, done := parse(e, f, args, 2, math.MaxInt)
		if done {
			return status
		}
		if rest[0] != "verify" {
			fmt.Fprintf(e.stderr, "sallyport audit: there is no %q, only verify\n", rest[0])
			return exitUsage
		}
		var key []byte
		if *keyFile != "" {
			var err error
			if key, err = (config.Secret{File: *keyFile}).Key(); err != nil {
				fmt.Fprintln(e.stderr, "sallyport audit:", err)
				return exitFailed
			}
		}
		sum, err := auditlog.Verify(rest[1:], key)
		if err != nil {
			fmt.Fprintf(e.stderr, "BROKEN after %d good records: %v\n", sum.Records, err)
			return exitFailed
		}
		fmt.Fprintf(e.stdout, "good: %d records, numbers %d to %d, head %s\n", sum.Records, sum.First, sum.Last, sum.Head)
		return exitGood
	}
	return c
}
